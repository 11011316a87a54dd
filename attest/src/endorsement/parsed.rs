//! One certificate of an endorsement chain, read into the facts that path validation needs.

use der::asn1::{AnyRef, UintRef};
use der::oid::ObjectIdentifier;
use der::oid::db::rfc5280::{
    ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
};
use der::oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use der::{Decode, Reader, SliceReader};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::{Certificate, Version};

use crate::certificate::timestamp;
use crate::refusals::{CERTIFICATE_FORM, EK_STRENGTH, Refusal};
use crate::templates::KeyValue;

/// tpmManufacturer (TCG EK Credential Profile, 3.1.2).
pub(super) const TPM_MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
/// tpmModel.
pub(super) const TPM_MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
/// tpmVersion.
pub(super) const TPM_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");

/// The facts of one certificate.
#[derive(Debug)]
pub(super) struct Parsed {
    /// SHA-256 of the DER.
    pub(super) sha256: [u8; 32],
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) key: KeyValue,
    /// The subjectPublicKey bits, as signature verification takes them.
    pub(super) key_bits: Vec<u8>,
    /// The bytes that are signed, exactly as received.
    pub(super) tbs: Vec<u8>,
    pub(super) signature_algorithm: AlgorithmIdentifierOwned,
    pub(super) signature: Vec<u8>,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<Vec<ObjectIdentifier>>,
    /// The first critical extension that we do not know.
    pub(super) unknown_critical: Option<ObjectIdentifier>,
    alternative_names: Vec<GeneralName>,
}

impl Parsed {
    /// Reads exactly one DER certificate, version 3.
    ///
    /// # Errors
    /// Checks 4 and 8.
    pub(super) fn parse(der: &[u8]) -> Result<Self, Refusal> {
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let tbs = certificate.tbs_certificate();
        if tbs.version() != Version::V3 {
            return Err(malformed("not a version 3 certificate"));
        }
        if tbs.signature() != certificate.signature_algorithm() {
            return Err(malformed("two different signature algorithms"));
        }
        let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
        refuse_duplicates(extensions)?;
        let alternative_names =
            extension::<SubjectAltName>(&certificate)?.map(|san| san.0).unwrap_or_default();
        let signature = certificate.signature().as_bytes();
        let spki = tbs.subject_public_key_info();
        Ok(Self {
            sha256: Sha256::digest(der).into(),
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            not_before: timestamp(&tbs.validity().not_before),
            not_after: timestamp(&tbs.validity().not_after),
            key: key_value(spki)?,
            key_bits: spki.subject_public_key.raw_bytes().to_vec(),
            tbs: signed_part(der).map_err(malformed)?.to_vec(),
            signature_algorithm: tbs.signature().clone(),
            signature: signature.ok_or_else(|| malformed("a signature of odd bits"))?.to_vec(),
            basic_constraints: extension(&certificate)?,
            key_usage: extension(&certificate)?,
            extended_key_usage: extension::<ExtendedKeyUsage>(&certificate)?.map(|usage| usage.0),
            unknown_critical: unknown_critical(extensions, &alternative_names),
            alternative_names,
        })
    }

    /// Whether subject and issuer are the same name.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The value of a TPM attribute in the directory names of the subjectAltName.
    pub(super) fn tpm_attribute(&self, oid: ObjectIdentifier) -> Option<String> {
        let directory_names = self.alternative_names.iter().filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name),
            _ => None,
        });
        let attribute = directory_names.flat_map(Name::iter).find(|a| a.oid == oid)?;
        std::str::from_utf8(attribute.value.value()).ok().map(str::to_owned)
    }
}

fn malformed(why: impl std::fmt::Display) -> Refusal {
    CERTIFICATE_FORM.refuse(format_args!("a certificate that cannot be read: {why}"))
}

fn extension<'a, T>(certificate: &'a Certificate) -> Result<Option<T>, Refusal>
where
    T: Decode<'a, Error = der::Error> + der::oid::AssociatedOid,
{
    let found = certificate.tbs_certificate().get_extension::<T>().map_err(malformed)?;
    Ok(found.map(|(_critical, value)| value))
}

fn refuse_duplicates(extensions: &[Extension]) -> Result<(), Refusal> {
    for (index, extension) in extensions.iter().enumerate() {
        if extensions[..index].iter().any(|other| other.extn_id == extension.extn_id) {
            return Err(malformed(format_args!("the extension {} twice", extension.extn_id)));
        }
    }
    Ok(())
}

fn unknown_critical(extensions: &[Extension], names: &[GeneralName]) -> Option<ObjectIdentifier> {
    let directory_only = names.iter().all(|name| matches!(name, GeneralName::DirectoryName(_)));
    let known = |oid| match oid {
        ID_CE_BASIC_CONSTRAINTS
        | ID_CE_KEY_USAGE
        | ID_CE_EXT_KEY_USAGE
        | ID_CE_CERTIFICATE_POLICIES => true,
        ID_CE_SUBJECT_ALT_NAME => directory_only,
        _ => false,
    };
    let mut critical = extensions.iter().filter(|e| e.critical).map(|e| e.extn_id);
    critical.find(|oid| !known(*oid))
}

/// The TBSCertificate as it stands in `der`, header included.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let outer = AnyRef::from_der(der)?;
    SliceReader::new(outer.value())?.tlv_bytes()
}

fn key_value(spki: &SubjectPublicKeyInfoOwned) -> Result<KeyValue, Refusal> {
    let bits = spki.subject_public_key.as_bytes().ok_or_else(|| malformed("a key of odd bits"))?;
    if spki.algorithm.oid == RSA_ENCRYPTION {
        return rsa_value(bits);
    }
    let curve =
        spki.algorithm.parameters.as_ref().filter(|_| spki.algorithm.oid == ID_EC_PUBLIC_KEY);
    match curve.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok()) {
        Some(SECP_256_R_1) if p256::PublicKey::from_sec1_bytes(bits).is_ok() => bits
            .try_into()
            .map(KeyValue::P256)
            .map_err(|_| EK_STRENGTH.refuse("a compressed P-256 point")),
        Some(SECP_384_R_1) if p384::PublicKey::from_sec1_bytes(bits).is_ok() => bits
            .try_into()
            .map(KeyValue::P384)
            .map_err(|_| EK_STRENGTH.refuse("a compressed P-384 point")),
        Some(curve) => Err(EK_STRENGTH.refuse(format_args!("a key that is no point on {curve}"))),
        None => {
            Err(EK_STRENGTH
                .refuse(format_args!("a certified key of the kind {}", spki.algorithm.oid)))
        }
    }
}

fn rsa_value(bits: &[u8]) -> Result<KeyValue, Refusal> {
    let mut reader = SliceReader::new(bits).map_err(malformed)?;
    let (modulus, exponent) = reader
        .sequence(|inner: &mut SliceReader<'_>| {
            Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?))
        })
        .map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    let modulus = modulus.as_bytes();
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |b| b.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(EK_STRENGTH.refuse(format_args!("a certified RSA key of {bits} bits")));
    }
    if exponent.as_bytes() != [0x01, 0x00, 0x01] {
        return Err(EK_STRENGTH.refuse("a certified RSA key with an exponent other than 65537"));
    }
    Ok(KeyValue::Rsa { modulus: modulus.to_vec(), exponent: 65_537 })
}
