//! A TPM vendor: a root, an intermediate, and endorsement certificates by it.

use std::str::FromStr;

use der::Encode;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo,
};
use sealsum_attest::endorsement::Anchors;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// tcg-kp-EKCertificate.
pub const EK_CERTIFICATE: [u64; 5] = [2, 23, 133, 8, 1];

pub struct Vendor {
    pub root: Vec<u8>,
    pub intermediate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Vendor {
    pub fn new(name: &str) -> Self {
        let (root, root_issuer) = root(&format!("{name} root"));
        let params = authority(&format!("{name} intermediate"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let intermediate = params.signed_by(&key, &root_issuer).unwrap().der().to_vec();
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// Trust in the root alone.
    pub fn anchors(&self) -> Anchors {
        Anchors::from_der(&[&self.root]).unwrap()
    }

    /// Trust in the root for software TPMs too.
    pub fn anchors_for_software(&self) -> Anchors {
        self.anchors().with_software(&[&self.root]).unwrap()
    }

    /// An endorsement certificate by the intermediate, as `params` has it.
    pub fn certify_with(&self, params: &CertificateParams, spki: &[u8]) -> Vec<u8> {
        let key = SubjectPublicKeyInfo::from_der(spki).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }

    /// A good endorsement certificate for this SubjectPublicKeyInfo.
    pub fn certify(&self, spki: &[u8]) -> Vec<u8> {
        self.certify_with(&endorsement("id:53544D20"), spki)
    }
}

/// A self-signed root.
pub fn root(name: &str) -> (Vec<u8>, Issuer<'static, KeyPair>) {
    let params = authority(name);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    (certificate, Issuer::new(params, key))
}

/// Parameters of a certificate authority.
pub fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Parameters of an endorsement certificate, shaped as swtpm shapes them: the TPM's attributes in
/// a critical subjectAltName of directory names.
pub fn endorsement(manufacturer: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "unknown");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(EK_CERTIFICATE.to_vec())];
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    params.custom_extensions = vec![directory_name(manufacturer)];
    params
}

fn directory_name(manufacturer: &str) -> CustomExtension {
    let text = format!("2.23.133.2.1={manufacturer}+2.23.133.2.2=model+2.23.133.2.3=id:20191023");
    let name = GeneralName::DirectoryName(Name::from_str(&text).unwrap());
    let value = SubjectAltName(vec![name]).to_der().unwrap();
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], value);
    extension.set_criticality(true);
    extension
}
