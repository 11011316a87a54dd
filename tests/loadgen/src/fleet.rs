//! A fleet's certificates, as its authority would issue them, with software keys.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CustomExtension,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use sealsum_attest::certificate::{FleetCa, Role, X25519_EXTENSION_ARCS, x25519_extension_value};
use sealsum_attest::ids::{DeviceId, Fleet, Name};
use sealsum_attest::inclusion::Inclusion;
use sealsum_attest::status::StatusList;
use sealsum_daemon::Failure;

use crate::log::Log;

/// A CA and the authority's own certificate.
pub struct FleetKeys {
    /// Its name.
    pub fleet: Fleet,
    /// The CA's certificate.
    pub ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The key of the authority's certificate.
    pub authority_key: KeyPair,
    /// The authority's certificate.
    pub authority_der: Vec<u8>,
    /// Every certificate that was issued.
    pub log: Log,
}

/// What a fleet's authority keeps to itself.
pub struct Secrets {
    /// The CA's key.
    pub ca: KeyPair,
    /// The CA's certificate.
    pub ca_pem: String,
    /// The authority's key.
    pub authority: KeyPair,
}

/// A leaf certificate with its key.
pub struct Leaf {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its key.
    pub key: KeyPair,
}

/// From when to when a certificate is good, in seconds from now.
#[derive(Clone, Copy)]
pub struct Validity {
    /// Usually before now.
    pub from_s: i64,
    /// Usually after now.
    pub to_s: i64,
}

/// As long as the certificates of a true fleet.
pub const DAY: Validity = Validity { from_s: -300, to_s: 86_000 };

/// As long as a staging authority may run.
const YEAR: Validity = Validity { from_s: -300, to_s: 365 * 86_400 };

impl Secrets {
    /// New ones for a fleet of this name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(fleet: &Fleet) -> Result<Self, Failure> {
        let ca = new_key()?;
        let ca_pem = ca_params(fleet).self_signed(&ca).map_err(|error| bug(&error))?.pem();
        Ok(Self { ca, ca_pem, authority: new_key()? })
    }
}

impl FleetKeys {
    /// A fleet in memory, whose authority is on loopback.
    ///
    /// # Errors
    /// When `name` is none, or no key can be made.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let fleet: Fleet = name.parse().map_err(|error| bug(&error))?;
        let secrets = Secrets::new(&fleet)?;
        let log = Log::new(&fleet, &random()?)?;
        Self::with(fleet, secrets, log, None)
    }

    /// A fleet with these keys and this log, whose authority has this DNS name too.
    ///
    /// # Errors
    /// When the keys do not serve to sign.
    pub fn with(
        fleet: Fleet,
        secrets: Secrets,
        log: Log,
        host: Option<&str>,
    ) -> Result<Self, Failure> {
        let Secrets { ca, ca_pem, authority } = secrets;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca).map_err(|error| bug(&error))?;
        let mut params = leaf_params(&Role::Authority, &fleet, YEAR)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        name_loopback(&mut params)?;
        if let Some(host) = host {
            params.subject_alt_names.push(dns(host)?);
        }
        let signed = params.signed_by(&authority, &issuer).map_err(|error| bug(&error))?;
        let authority_der = signed.der().to_vec();
        Ok(Self { fleet, ca_pem, issuer, authority_key: authority, authority_der, log })
    }

    /// The pinned CA, for verifying.
    ///
    /// # Errors
    /// When the CA's certificate is none.
    pub fn ca(&self) -> Result<FleetCa, Failure> {
        let ca = FleetCa::from_pem(&self.ca_pem).map_err(|error| bug(&error))?;
        Ok(ca.for_fleet(self.fleet.clone()))
    }

    /// A device's certificate, on record in the log.
    ///
    /// # Errors
    /// When it cannot be signed or logged.
    pub fn device(
        &self,
        id: DeviceId,
        x25519: &[u8; 32],
        validity: Validity,
    ) -> Result<Leaf, Failure> {
        let leaf = self.device_not_logged(id, x25519, validity)?;
        self.log.issued(&leaf.der)?;
        Ok(leaf)
    }

    /// A device's certificate that the log knows nothing of.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn device_not_logged(
        &self,
        id: DeviceId,
        x25519: &[u8; 32],
        validity: Validity,
    ) -> Result<Leaf, Failure> {
        let mut params = leaf_params(&Role::Device(id), &self.fleet, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions.push(CustomExtension::from_oid_content(
            &X25519_EXTENSION_ARCS,
            x25519_extension_value(x25519),
        ));
        self.sign(&params)
    }

    /// An aggregator's certificate with a key of its own, as a client would show it.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn aggregator(&self, name: &Name) -> Result<Leaf, Failure> {
        self.sign(&aggregator_params(&self.fleet, name, DAY)?)
    }

    /// An aggregator's certificate for its request, PEM, and where it is in the log.
    ///
    /// # Errors
    /// When the request is none, or the certificate cannot be signed or logged.
    pub fn certify_aggregator(
        &self,
        name: &Name,
        csr: &[u8],
        validity: Validity,
    ) -> Result<(String, Inclusion), Failure> {
        let request = CertificateSigningRequestParams::from_der(&csr.into());
        let mut request = request.map_err(|error| bug(&error))?;
        request.params = aggregator_params(&self.fleet, name, validity)?;
        name_loopback(&mut request.params)?;
        let certificate = request.signed_by(&self.issuer).map_err(|error| bug(&error))?;
        let inclusion = self.log.inclusion(self.log.issued(certificate.der())?)?;
        Ok((certificate.pem(), inclusion))
    }

    /// Signs a status list with the authority's key.
    ///
    /// # Errors
    /// When the key does not serve to sign.
    pub fn sign_status(&self, list: StatusList) -> Result<Vec<u8>, Failure> {
        let sign = |message: &[u8]| {
            let signature = sign_p256(&self.authority_key, message)?;
            <[u8; 64]>::try_from(signature).map_err(|_| Failure::bug("signature: not 64 bytes"))
        };
        list.sign(std::slice::from_ref(&self.authority_der), sign)
            .map_err(|error| Failure::bug(format!("status list: {error:?}")))
    }

    fn sign(&self, params: &CertificateParams) -> Result<Leaf, Failure> {
        let key = new_key()?;
        let signed = params.signed_by(&key, &self.issuer).map_err(|error| bug(&error))?;
        Ok(Leaf { der: signed.der().to_vec(), key })
    }
}

impl Leaf {
    /// Its signature, r and s, as the device's TPM would make it.
    ///
    /// # Errors
    /// When the key does not serve to sign.
    pub fn sign(&self, statement: &[u8]) -> Result<Vec<u8>, Failure> {
        sign_p256(&self.key, statement)
    }
}

fn sign_p256(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let random = SystemRandom::new();
    let pkcs8 = key.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random)
        .map_err(|error| bug(&error))?;
    let signature = key.sign(&random, message).map_err(|error| bug(&error))?;
    Ok(signature.as_ref().to_vec())
}

fn aggregator_params(
    fleet: &Fleet,
    name: &Name,
    validity: Validity,
) -> Result<CertificateParams, Failure> {
    let mut params = leaf_params(&Role::Aggregator(name.clone()), fleet, validity)?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn ca_params(fleet: &Fleet) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, fleet.as_str());
    params
}

fn leaf_params(
    role: &Role,
    fleet: &Fleet,
    validity: Validity,
) -> Result<CertificateParams, Failure> {
    let now = Timestamp::now().as_second();
    let moment = |offset: i64| {
        let seconds = u64::try_from(now + offset).map_err(|error| bug(&error))?;
        Ok::<_, Failure>(rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let uri = role.uri(fleet).try_into().map_err(|error| bug(&error))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let mut serial: [u8; 32] = random()?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial[..16]));
    params.not_before = moment(validity.from_s)?;
    params.not_after = moment(validity.to_s)?;
    Ok(params)
}

fn name_loopback(params: &mut CertificateParams) -> Result<(), Failure> {
    params.subject_alt_names.push(dns("localhost")?);
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    Ok(())
}

fn dns(name: &str) -> Result<SanType, Failure> {
    Ok(SanType::DnsName(name.try_into().map_err(|error| bug(&error))?))
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(|error| bug(&error))
}

/// Bytes of the operating system.
///
/// # Errors
/// When it has none.
pub fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| bug(&error))?;
    Ok(bytes)
}

fn bug(error: &dyn std::fmt::Display) -> Failure {
    Failure::bug(format!("staging authority: {error}"))
}
