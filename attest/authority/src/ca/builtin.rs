//! The built-in certificate authority: one self-signed P-256 certificate, one key file.
//!
//! Nothing of a request but its public key gets into a certificate: names, uses and lifetime are
//! decided here.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use sealsum_attest::certificate::{
    LIFETIME_MAX_S, Role, X25519_EXTENSION_ARCS, x25519_extension_value,
};
use sealsum_attest::ids::Fleet;
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use super::{CLOCK_SKEW_S, CaError, Issued, Leaf};

/// The CA certificate outlives every leaf and most devices; replacing it is a new fleet.
const CA_LIFETIME_S: u64 = 20 * 365 * 24 * 60 * 60;

/// A new CA, not yet written to its files.
pub struct NewCa {
    /// The certificate, DER; for everybody.
    pub certificate_der: Vec<u8>,
    /// PEM (PKCS#8) of the key, for nobody else.
    pub key_pem: Zeroizing<String>,
}

/// The certificate and the key of one fleet's CA.
pub struct BuiltIn {
    fleet: Fleet,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes the key and the self-signed certificate of a fleet's CA.
///
/// # Errors
/// [`CaError`] without random bytes.
pub fn create(fleet: &Fleet, now: Timestamp) -> Result<NewCa, CaError> {
    let key = KeyPair::generate().map_err(profile)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{fleet} sealsum CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
    Validity::of(now, CA_LIFETIME_S)?.apply(&mut params);
    let certificate = params.self_signed(&key).map_err(profile)?;
    Ok(NewCa {
        certificate_der: certificate.der().to_vec(),
        key_pem: Zeroizing::new(key.serialize_pem()),
    })
}

impl BuiltIn {
    /// Opens the CA that [`create`] made.
    ///
    /// # Errors
    /// [`CaError::Files`] if the two files do not belong together.
    pub fn open(fleet: Fleet, certificate_der: &[u8], key_pem: &str) -> Result<Self, CaError> {
        let files = |error: rcgen::Error| CaError::Files(error.to_string());
        let key = KeyPair::from_pem(key_pem).map_err(files)?;
        if subject_key(certificate_der)? != key.public_key_raw() {
            return Err(CaError::Files("the key is not the one of the certificate".into()));
        }
        let certificate = rustls::pki_types::CertificateDer::from(certificate_der);
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(files)?;
        Ok(Self { fleet, issuer })
    }

    /// Signs a leaf that lives for `lifetime_s` seconds, at most a day.
    ///
    /// # Errors
    /// [`CaError`] for names that do not fit a certificate.
    pub fn issue(&self, leaf: &Leaf, lifetime_s: u64, now: Timestamp) -> Result<Issued, CaError> {
        let serial = random_serial()?;
        let validity = Validity::of(now, lifetime_s.min(LIFETIME_MAX_S))?;
        let spki = leaf.public_key.to_spki();
        let mut params = self.params(leaf)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        validity.apply(&mut params);
        let key = SubjectPublicKeyInfo::from_der(&spki).map_err(profile)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(profile)?;
        Ok(Issued {
            der: certificate.der().to_vec(),
            chain_pem: certificate.pem(),
            serial: serial.to_vec(),
            not_before: timestamp(validity.start)?,
            not_after: timestamp(validity.end)?,
            spki_sha256: Sha256::digest(&spki).into(),
        })
    }

    fn params(&self, leaf: &Leaf) -> Result<CertificateParams, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses(&leaf.role);
        params.subject_alt_names = alternative_names(&self.fleet, leaf)?;
        if let Some(public) = &leaf.x25519 {
            params.custom_extensions.push(CustomExtension::from_oid_content(
                &X25519_EXTENSION_ARCS,
                x25519_extension_value(public),
            ));
        }
        Ok(params)
    }
}

fn uses(role: &Role) -> Vec<ExtendedKeyUsagePurpose> {
    match role {
        Role::Device(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Role::Aggregator(_) => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Role::Authority => vec![ExtendedKeyUsagePurpose::ServerAuth],
    }
}

fn alternative_names(fleet: &Fleet, leaf: &Leaf) -> Result<Vec<SanType>, CaError> {
    let uri = leaf.role.uri(fleet).try_into().map_err(profile)?;
    let mut names = vec![SanType::URI(uri)];
    for dns in &leaf.dns_names {
        names.push(SanType::DnsName(dns.as_str().try_into().map_err(profile)?));
    }
    names.extend(leaf.addresses.iter().copied().map(SanType::IpAddress));
    Ok(names)
}

/// Unix seconds of the first and the last moment.
struct Validity {
    start: u64,
    end: u64,
}

impl Validity {
    fn of(now: Timestamp, lifetime_s: u64) -> Result<Self, CaError> {
        let start = u64::try_from(now.as_second())
            .map_err(|_| CaError::Profile("the clock is before 1970".into()))?
            .saturating_sub(CLOCK_SKEW_S);
        Ok(Self { start, end: start.saturating_add(lifetime_s) })
    }

    fn apply(&self, params: &mut CertificateParams) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.start);
        params.not_after = epoch + Duration::from_secs(self.end);
    }
}

/// The raw public key of a certificate.
fn subject_key(certificate_der: &[u8]) -> Result<Vec<u8>, CaError> {
    let certificate = x509_cert::Certificate::from_der(certificate_der)
        .map_err(|error| CaError::Files(error.to_string()))?;
    let info = certificate.tbs_certificate().subject_public_key_info();
    Ok(info.subject_public_key.raw_bytes().to_vec())
}

fn timestamp(seconds: u64) -> Result<Timestamp, CaError> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| CaError::Profile("the clock is beyond what a certificate holds".into()))
}

/// 16 random bytes, positive and without a leading zero, so that DER keeps them as they are.
fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial)
}

fn profile(error: rcgen::Error) -> CaError {
    CaError::Profile(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealsum_attest::certificate::{
        CertificateError, FleetCa, Identity, PublicKey, chain_from_pem,
    };
    use sealsum_attest::ids::DeviceId;

    const DAY: u64 = 86_400;

    fn new_ca() -> (BuiltIn, FleetCa) {
        let fleet: Fleet = "demo".parse().unwrap();
        let new = create(&fleet, Timestamp::now()).unwrap();
        let trust = FleetCa::from_der(std::slice::from_ref(&new.certificate_der)).unwrap();
        (BuiltIn::open(fleet, &new.certificate_der, &new.key_pem).unwrap(), trust)
    }

    fn public_key() -> PublicKey {
        PublicKey::from_sec1(KeyPair::generate().unwrap().public_key_raw()).unwrap()
    }

    fn device() -> Leaf {
        Leaf {
            role: Role::Device(DeviceId::from_ek_public(b"ek")),
            public_key: public_key(),
            x25519: Some([9; 32]),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn authority() -> Leaf {
        Leaf {
            role: Role::Authority,
            x25519: None,
            dns_names: vec!["authority.example".into()],
            addresses: vec![[192, 0, 2, 1].into()],
            ..device()
        }
    }

    #[test]
    fn leaves_of_every_role_verify_under_the_ca() {
        let (ca, trust) = new_ca();
        let now = Timestamp::now();
        let aggregator = Leaf { role: Role::Aggregator("main".parse().unwrap()), ..authority() };
        for leaf in [device(), authority(), aggregator] {
            let issued = ca.issue(&leaf, DAY, now).unwrap();
            let identity = trust.verify(&[&issued.der], now).unwrap();
            assert_eq!(identity.role, leaf.role);
            assert_eq!(identity.x25519, leaf.x25519);
            assert_eq!(identity.serial, issued.serial);
            assert_eq!(identity.not_after, issued.not_after);
            assert_eq!(identity.spki_sha256, issued.spki_sha256);
            assert_eq!(chain_from_pem(&issued.chain_pem).unwrap(), vec![issued.der]);
        }
    }

    #[test]
    fn no_leaf_lives_longer_than_a_day() {
        let (ca, trust) = new_ca();
        let now = Timestamp::now();
        let issued = ca.issue(&device(), 10 * DAY, now).unwrap();
        let life = issued.not_after.duration_since(issued.not_before);
        assert_eq!(life.as_secs(), 86_400);
        assert_eq!(issued.renew_at().duration_since(issued.not_before).as_secs(), 57_600);
        let tomorrow = issued.not_after.saturating_add(life / 86_400).unwrap();
        assert_eq!(trust.verify(&[&issued.der], tomorrow), Err(CertificateError::Expired));
    }

    #[test]
    fn another_fleets_ca_does_not_verify() {
        let (ca, _) = new_ca();
        let (_, stranger) = new_ca();
        let now = Timestamp::now();
        let issued = ca.issue(&device(), DAY, now).unwrap();
        assert!(matches!(
            stranger.verify(&[&issued.der], now),
            Err(CertificateError::Untrusted(_))
        ));
    }

    #[test]
    fn a_foreign_key_file_is_refused() {
        let fleet: Fleet = "demo".parse().unwrap();
        let [one, two] = [(); 2].map(|()| create(&fleet, Timestamp::now()).unwrap());
        let opened = BuiltIn::open(fleet, &one.certificate_der, &two.key_pem);
        assert!(matches!(opened, Err(CaError::Files(_))));
    }

    #[test]
    fn serials_are_random_and_keep_their_length() {
        let (ca, _) = new_ca();
        let serials: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                let issued = ca.issue(&device(), DAY, Timestamp::now()).unwrap();
                Identity::parse(&issued.der).unwrap().serial
            })
            .collect();
        assert_eq!(serials.len(), 20);
        assert!(serials.iter().all(|serial| serial.len() == 16));
    }

    #[test]
    fn openssl_shows_what_we_meant() {
        let (ca, _) = new_ca();
        let issued = ca.issue(&device(), DAY, Timestamp::now()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leaf.pem");
        std::fs::write(&path, &issued.chain_pem).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for expected in ["CA:FALSE", "Digital Signature", "TLS Web Client Authentication", "2.25."]
        {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
        assert!(!text.contains("TLS Web Server Authentication"), "{text}");
    }

    #[test]
    fn openssl_verifies_our_chains() {
        let fleet: Fleet = "demo".parse().unwrap();
        let new = create(&fleet, Timestamp::now()).unwrap();
        let ca = BuiltIn::open(fleet, &new.certificate_der, &new.key_pem).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca_pem = crate::ca::pem("CERTIFICATE", &new.certificate_der);
        std::fs::write(directory.path().join("ca.pem"), ca_pem).unwrap();
        for (leaf, purpose) in [(device(), "sslclient"), (authority(), "sslserver")] {
            let issued = ca.issue(&leaf, DAY, Timestamp::now()).unwrap();
            std::fs::write(directory.path().join("leaf.pem"), issued.chain_pem).unwrap();
            let output = std::process::Command::new("openssl")
                .args(["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose])
                .arg("leaf.pem")
                .current_dir(directory.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{purpose}: {output:?}");
        }
    }
}
