//! A fleet's certificate authority, and certificates of each role by it.

use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use sealsum_attest::certificate::{FleetCa, Role, X25519_EXTENSION_ARCS, x25519_extension_value};
use sealsum_attest::ids::Fleet;

use super::device::key_pair;
use super::vendor;

pub struct TestFleet {
    pub name: Fleet,
    pub ca: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    pub authority_key: SigningKey,
    pub authority: Vec<u8>,
}

impl TestFleet {
    pub fn new(name: &str) -> Self {
        let (ca, issuer) = vendor::root("fleet CA");
        let authority_key = SigningKey::generate_from_rng(&mut super::rng(77));
        let mut fleet =
            Self { name: name.parse().unwrap(), ca, issuer, authority_key, authority: vec![] };
        let params = fleet.params(&Role::Authority);
        fleet.authority = fleet.certify_key(&params, &fleet.authority_key);
        fleet
    }

    pub fn trust(&self) -> FleetCa {
        FleetCa::from_der(std::slice::from_ref(&self.ca)).unwrap()
    }

    /// Parameters of a certificate of this role, valid around the tests' moment.
    pub fn params(&self, role: &Role) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.not_before = date_time_ymd(2026, 11, 24);
        params.not_after = date_time_ymd(2026, 11, 25);
        params.subject_alt_names =
            vec![SanType::URI(role.uri(&self.name).as_str().try_into().unwrap())];
        params.extended_key_usages = match role {
            Role::Device(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Role::Authority => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Role::Aggregator(_) => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        if matches!(role, Role::Device(_)) {
            params.custom_extensions = vec![x25519_extension(&[0x25; 32])];
        }
        params
    }

    pub fn certify_key(&self, params: &CertificateParams, key: &SigningKey) -> Vec<u8> {
        params.signed_by(&key_pair(key), &self.issuer).unwrap().der().to_vec()
    }
}

pub fn x25519_extension(public: &[u8; 32]) -> CustomExtension {
    CustomExtension::from_oid_content(&X25519_EXTENSION_ARCS, x25519_extension_value(public))
}
