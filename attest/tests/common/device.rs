//! A device whose TPM is software: it signs what it is told to.

use std::sync::OnceLock;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::Generate;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rand_chacha::rand_core::CryptoRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use sealsum_attest::binding::{ActivationSecret, Renewal, Transcript, prove_possession};
use sealsum_attest::messages::{
    Bytes, EnrolAnswer, EnrolChallenge, EnrolRequest, Fixed, PROTOCOL_VERSION, PcrValues,
    RenewAnswer,
};
use sealsum_attest::pcr;
use sealsum_attest::templates::{EkAlgorithm, SIGNING_KEY};
use sealsum_attest::tpm::alg::attribute::RESTRICTED;
use sealsum_attest::tpm::{
    Attest, Attested, ClockInfo, EccPublic, EcdsaSignature, PcrBank, Public, PublicKind, RsaPublic,
    Scheme, Symmetric, alg,
};
use x25519_dalek::StaticSecret;

use super::activate::EkSecret;
use super::pcrs;
use super::vendor::Vendor;

pub struct Device {
    pub ek: EkSecret,
    pub ek_public: Public,
    pub ek_certificate: Vec<u8>,
    pub ek_chain: Vec<Vec<u8>>,
    pub ak: SigningKey,
    pub ak_public: Public,
    pub dk: SigningKey,
    pub dk_public: Public,
    pub x25519: StaticSecret,
    pub pcrs: PcrValues,
    pub clock: ClockInfo,
    pub firmware_version: u64,
    /// TPM name of the storage root key.
    pub srk_name: Vec<u8>,
    /// Made once: the signature of a request is randomised.
    csr: OnceLock<Vec<u8>>,
}

impl Device {
    pub fn new(vendor: &Vendor, algorithm: EkAlgorithm, rng: &mut impl CryptoRng) -> Self {
        let (ek, ek_public, spki) = endorsement_key(algorithm, rng);
        let ak = SigningKey::generate_from_rng(rng);
        let dk = SigningKey::generate_from_rng(rng);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self {
            ek,
            ek_public,
            ek_certificate: vendor.certify(&spki),
            ek_chain: vec![vendor.intermediate.clone()],
            ak_public: signing_public(&ak, SIGNING_KEY | RESTRICTED),
            ak,
            dk_public: signing_public(&dk, SIGNING_KEY),
            dk,
            x25519: StaticSecret::from(seed),
            pcrs: pcrs(&[(0, 0x11), (7, 0x77)]),
            clock: ClockInfo { clock: 1234, reset_count: 5, restart_count: 2, safe: false },
            firmware_version: 0x0001_0002_0003_0004,
            srk_name: [&[0, 11], &[0x5e; 32][..]].concat(),
            csr: OnceLock::new(),
        }
    }

    pub fn x25519_public(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&self.x25519).to_bytes()
    }

    pub fn request(&self) -> EnrolRequest {
        EnrolRequest {
            protocol: PROTOCOL_VERSION,
            token: Some("token".into()),
            ek_certificate: Bytes(self.ek_certificate.clone()),
            ek_chain: self.ek_chain.iter().cloned().map(Bytes).collect(),
            ek_public: Bytes(self.ek_public.to_bytes()),
            ak_public: Bytes(self.ak_public.to_bytes()),
            dk_public: Bytes(self.dk_public.to_bytes()),
            x25519_public: Fixed(self.x25519_public()),
            srk_name: Bytes(self.srk_name.clone()),
            client_random: Fixed([0xc1; 32]),
        }
    }

    pub fn answer(
        &self,
        request: &EnrolRequest,
        challenge: &EnrolChallenge,
        authority_spki_sha256: &[u8; 32],
    ) -> EnrolAnswer {
        let transcript = Transcript::of(request, challenge, authority_spki_sha256).unwrap();
        let (quote_attest, quote_signature) = self.quote(&transcript.quote_data());
        let (certify_attest, certify_signature) =
            self.certify(&transcript.certify_data(), &self.dk_public.name().unwrap());
        let nonce = &challenge.nonce.0;
        let proof =
            prove_possession(&self.x25519, &challenge.x25519_challenge.0, nonce, &transcript);
        EnrolAnswer {
            quote_attest: Bytes(quote_attest),
            quote_signature: Bytes(quote_signature),
            pcrs: self.pcrs.clone(),
            certify_attest: Bytes(certify_attest),
            certify_signature: Bytes(certify_signature),
            csr: Bytes(self.csr()),
            activation_proof: Fixed(transcript.activation_proof(&self.activate(challenge))),
            x25519_proof: Fixed(proof.unwrap()),
        }
    }

    /// The secret of a credential made for this device.
    pub fn activate(&self, challenge: &EnrolChallenge) -> ActivationSecret {
        let name = self.ak_public.name().unwrap();
        let (blob, secret) = (&challenge.credential_blob.0, &challenge.encrypted_secret.0);
        let secret = self.ek.activate(&name, blob, secret).unwrap();
        ActivationSecret::new(Box::new(secret.try_into().unwrap()))
    }

    pub fn renew(&self, renewal: &Renewal<'_>, answer: RenewAnswer) -> RenewAnswer {
        let (quote_attest, quote_signature) = self.quote(&renewal.quote_data());
        RenewAnswer {
            quote_attest: Bytes(quote_attest),
            quote_signature: Bytes(quote_signature),
            pcrs: self.pcrs.clone(),
            ..answer
        }
    }

    /// A quote of all PCRs the device has.
    pub fn quote(&self, extra_data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.sign(&self.quote_attest(extra_data).to_bytes())
    }

    pub fn quote_attest(&self, extra_data: &[u8]) -> Attest {
        let mut bitmap = vec![0; 3];
        for index in self.pcrs.0.keys() {
            bitmap[usize::from(index / 8)] |= 1 << (index % 8);
        }
        self.attest(
            extra_data,
            Attested::Quote {
                selection: vec![PcrBank { hash: alg::SHA256, bitmap }],
                digest: pcr::digest(&self.pcrs).to_vec(),
            },
        )
    }

    /// A certification of the object `name`.
    pub fn certify(&self, extra_data: &[u8], name: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let attested = Attested::Certify {
            name: name.to_vec(),
            qualified_name: [&[0, 11], &[9; 32][..]].concat(),
        };
        self.sign(&self.attest(extra_data, attested).to_bytes())
    }

    pub fn attest(&self, extra_data: &[u8], attested: Attested) -> Attest {
        Attest {
            qualified_signer: [&[0, 11], &[8; 32][..]].concat(),
            extra_data: extra_data.to_vec(),
            clock: self.clock,
            firmware_version: self.firmware_version,
            attested,
        }
    }

    /// The attestation key signs whatever bytes it is given.
    pub fn sign(&self, attest: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (attest.to_vec(), tpm_signature(&self.ak, attest))
    }

    pub fn csr(&self) -> Vec<u8> {
        self.csr.get_or_init(|| csr(&self.dk, &CertificateParams::default())).clone()
    }
}

/// A certificate request by a P-256 key.
pub fn csr(key: &SigningKey, params: &CertificateParams) -> Vec<u8> {
    params.serialize_request(&key_pair(key)).unwrap().der().to_vec()
}

/// The same key for rcgen.
pub fn key_pair(key: &SigningKey) -> KeyPair {
    let pkcs8 = key.to_pkcs8_der().unwrap();
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_bytes().into(), &PKCS_ECDSA_P256_SHA256)
        .unwrap()
}

/// TPMT_SIGNATURE by a P-256 key.
pub fn tpm_signature(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let bytes = fixed_signature(key, message);
    EcdsaSignature { hash: alg::SHA256, r: bytes[..32].to_vec(), s: bytes[32..].to_vec() }
        .to_bytes()
}

/// r and s.
pub fn fixed_signature(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    let signature: p256::ecdsa::Signature = key.sign(message);
    signature.to_bytes().into()
}

/// The public area of a signing key.
pub fn signing_public(key: &SigningKey, attributes: u32) -> Public {
    let point = key.verifying_key().to_sec1_point(false);
    let bytes = point.as_bytes();
    Public {
        name_alg: alg::SHA256,
        attributes,
        auth_policy: vec![],
        kind: PublicKind::Ecc(EccPublic {
            symmetric: None,
            scheme: Scheme::with_hash(alg::ECDSA, alg::SHA256),
            curve: alg::NIST_P256,
            kdf: Scheme::NULL,
            x: bytes[1..33].to_vec(),
            y: bytes[33..].to_vec(),
        }),
    }
}

/// An endorsement key of a TCG template: private half, public area, SubjectPublicKeyInfo.
pub fn endorsement_key(
    algorithm: EkAlgorithm,
    rng: &mut impl CryptoRng,
) -> (EkSecret, Public, Vec<u8>) {
    let policy_a = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
    let policy_b = "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca\
                    cb47ba09699646150f9fc000f3f80e12";
    let public = |name_alg, attributes, policy: &str, kind| Public {
        name_alg,
        attributes,
        auth_policy: unhex(policy),
        kind,
    };
    let aes = |key_bits| Some(Symmetric { algorithm: alg::AES, key_bits, mode: alg::CFB });
    let ecc = |curve, key_bits, point: &[u8]| {
        let (x, y) = point[1..].split_at(point.len() / 2);
        PublicKind::Ecc(EccPublic {
            symmetric: aes(key_bits),
            scheme: Scheme::NULL,
            curve,
            kdf: Scheme::NULL,
            x: x.to_vec(),
            y: y.to_vec(),
        })
    };
    match algorithm {
        EkAlgorithm::Rsa2048 => {
            use rsa::traits::PublicKeyParts;
            let key = rsa_key();
            let kind = PublicKind::Rsa(RsaPublic {
                symmetric: aes(128),
                scheme: Scheme::NULL,
                key_bits: 2048,
                exponent: 0,
                modulus: key.as_public_key().n().to_be_bytes().to_vec(),
            });
            let spki = rsa::pkcs8::EncodePublicKey::to_public_key_der(key.as_public_key());
            let ek = public(alg::SHA256, 0x0003_00b2, policy_a, kind);
            (EkSecret::Rsa(Box::new(key.clone())), ek, spki.unwrap().to_vec())
        }
        EkAlgorithm::P256 => {
            let key = p256::SecretKey::generate_from_rng(rng);
            let kind = ecc(alg::NIST_P256, 128, &key.public_key().to_sec1_bytes());
            let spki = key.public_key().to_public_key_der().unwrap().to_vec();
            (EkSecret::P256(key), public(alg::SHA256, 0x0003_00b2, policy_a, kind), spki)
        }
        EkAlgorithm::P384 => {
            let key = p384::SecretKey::generate_from_rng(rng);
            let kind = ecc(alg::NIST_P384, 256, &key.public_key().to_sec1_bytes());
            let spki = key.public_key().to_public_key_der().unwrap().to_vec();
            (EkSecret::P384(key), public(alg::SHA384, 0x0003_00f2, policy_b, kind), spki)
        }
    }
}

/// One RSA key for the whole test program: making one takes long.
pub fn rsa_key() -> &'static rsa::PrivateKey {
    static KEY: OnceLock<rsa::PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| rsa::PrivateKey::new(&mut super::rng(2048), 2048).unwrap())
}

/// Bytes of any length from hex.
pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
