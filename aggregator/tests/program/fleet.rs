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

use crate::log::Log;

/// A CA and the authority's own certificate.
pub(crate) struct FleetKeys {
    pub(crate) fleet: Fleet,
    pub(crate) ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) authority_key: KeyPair,
    pub(crate) authority_der: Vec<u8>,
    pub(crate) log: Log,
}

/// A leaf certificate with its key.
pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    pub(crate) key: KeyPair,
}

/// Before and after now.
#[derive(Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) from_s: i64,
    pub(crate) to_s: i64,
}

pub(crate) const DAY: Validity = Validity { from_s: -300, to_s: 86_000 };

impl FleetKeys {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let ca_pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let fleet: Fleet = name.parse().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut params = leaf_params(&Role::Authority, &fleet, DAY);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let authority_der = params.signed_by(&authority_key, &issuer).unwrap().der().to_vec();
        let log = Log::new(name);
        Self { fleet, ca_pem, issuer, authority_key, authority_der, log }
    }

    /// The pinned CA, for verifying.
    pub(crate) fn ca(&self) -> FleetCa {
        FleetCa::from_pem(&self.ca_pem).unwrap().for_fleet(self.fleet.clone())
    }

    /// A device's certificate, on record in the log.
    pub(crate) fn device(&self, id: DeviceId, x25519: &[u8; 32], validity: Validity) -> Leaf {
        let leaf = self.device_not_logged(id, x25519, validity);
        self.log.issued(&leaf.der);
        leaf
    }

    /// A device's certificate that the log knows nothing of.
    pub(crate) fn device_not_logged(
        &self,
        id: DeviceId,
        x25519: &[u8; 32],
        validity: Validity,
    ) -> Leaf {
        let mut params = leaf_params(&Role::Device(id), &self.fleet, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions.push(CustomExtension::from_oid_content(
            &X25519_EXTENSION_ARCS,
            x25519_extension_value(x25519),
        ));
        self.sign(params)
    }

    /// An aggregator's certificate with a key of its own, as a client would show it.
    pub(crate) fn aggregator(&self, name: &str) -> Leaf {
        let role = Role::Aggregator(name.parse().unwrap());
        let mut params = leaf_params(&role, &self.fleet, DAY);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// An aggregator's certificate for its request, PEM, and where it is in the log.
    pub(crate) fn certify_aggregator(
        &self,
        name: &Name,
        csr: &[u8],
        validity: Validity,
    ) -> (String, Inclusion) {
        let mut request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let mut params = leaf_params(&Role::Aggregator(name.clone()), &self.fleet, validity);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        request.params = params;
        let certificate = request.signed_by(&self.issuer).unwrap();
        let inclusion = self.log.inclusion(self.log.issued(certificate.der()));
        (certificate.pem(), inclusion)
    }

    /// Signs a status list with the authority's key.
    pub(crate) fn sign_status(&self, list: StatusList) -> Vec<u8> {
        let random = SystemRandom::new();
        let pkcs8 = self.authority_key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
        let key = key.unwrap();
        let sign = |message: &[u8]| -> Result<[u8; 64], ()> {
            Ok(key.sign(&random, message).unwrap().as_ref().try_into().unwrap())
        };
        list.sign(std::slice::from_ref(&self.authority_der), sign).unwrap()
    }

    fn sign(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Leaf { der, key }
    }
}

fn leaf_params(role: &Role, fleet: &Fleet, validity: Validity) -> CertificateParams {
    let now = Timestamp::now().as_second();
    let moment = |offset: i64| {
        let seconds = u64::try_from(now + offset).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(role.uri(fleet).try_into().unwrap())];
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).unwrap();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = moment(validity.from_s);
    params.not_after = moment(validity.to_s);
    params
}
