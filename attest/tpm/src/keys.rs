//! Templates of the keys and how each is brought into the TPM.

use crate::error::{TpmError, during, kind};
use crate::session::{ONE_EMPTY, with_object};
use sha2::{Digest as _, Sha256};
use tss_esapi::Context;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{
    EccParameter, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Private, Public,
    PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject,
};
use tss_esapi::traits::{Marshall, UnMarshall};

/// TPM_ALG_SHA256, in front of every name made with it.
const NAME_ALGORITHM: [u8; 2] = [0x00, 0x0b];

/// Makes the primary key of `template` and runs `job` with it and its public part.
pub(crate) fn with_primary<T>(
    context: &mut Context,
    doing: &'static str,
    hierarchy: Hierarchy,
    template: Public,
    job: impl FnOnce(&mut Context, KeyHandle, &Public) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let made = context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.create_primary(hierarchy, template, None, None, None, None)
        })
        .map_err(during(doing))?;
    with_object(context, made.key_handle, |context, key| job(context, key, &made.out_public))
}

/// Runs `job` with the storage root key, refused if it is not the one with this `name`: what is
/// salted to a false one is read by whoever offers it.
pub(crate) fn with_srk<T>(
    context: &mut Context,
    name: &[u8],
    job: impl FnOnce(&mut Context, KeyHandle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let template = srk_template()?;
    with_primary(context, "making the SRK", Hierarchy::Owner, template, |context, srk, public| {
        if self::name(&wire(public)?) != name {
            return Err(TpmError::Cleared);
        }
        job(context, srk)
    })
}

/// Runs `job` with the attestation key that `unique` leads to, refused if this TPM's is not
/// `expected`: then the state came from another TPM.
pub(crate) fn with_ak<T>(
    context: &mut Context,
    unique: &[u8; 32],
    expected: &[u8],
    job: impl FnOnce(&mut Context, KeyHandle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let template = ak_template(unique)?;
    with_primary(
        context,
        "making the AK",
        Hierarchy::Endorsement,
        template,
        |context, ak, public| {
            if wire(public)? != expected {
                return Err(TpmError::OtherTpm);
            }
            job(context, ak)
        },
    )
}

/// Loads a child of the storage root key and runs `job` with it; the SRK no longer takes a slot
/// by then.
pub(crate) fn with_child<T>(
    context: &mut Context,
    srk_name: &[u8],
    what: &'static str,
    blob: &Blob,
    job: impl FnOnce(&mut Context, KeyHandle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let child = with_srk(context, srk_name, |context, srk| load(context, srk, what, blob))?;
    with_object(context, child, job)
}

/// Loads `blob` under `parent`. The caller flushes it.
pub(crate) fn load(
    context: &mut Context,
    parent: KeyHandle,
    what: &'static str,
    blob: &Blob,
) -> Result<KeyHandle, TpmError> {
    let public = Public::unmarshall(&blob.public).map_err(|_| TpmError::Damaged { what })?;
    let private =
        Private::try_from(blob.private.as_slice()).map_err(|_| TpmError::Damaged { what })?;
    context
        .execute_with_sessions(ONE_EMPTY, |context| context.load(parent, private, public))
        .map_err(|error| match kind(&error) {
            Some(Kind::Integrity | Kind::Size | Kind::Insufficient | Kind::Binding) => {
                TpmError::Damaged { what }
            }
            _ => during("loading a key")(error),
        })
}

/// A TPM object outside the TPM: its TPMT_PUBLIC and its encrypted private part.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) public: Vec<u8>,
    pub(crate) private: Vec<u8>,
}

/// TCG reference template for a P-256 storage root key (TCG TPM v2.0 Provisioning Guidance, 7.5.1).
pub(crate) fn srk_template() -> Result<Public, TpmError> {
    let attributes = own_attributes().with_restricted(true).with_decrypt(true);
    p256_template(
        attributes,
        EccScheme::Null,
        SymmetricDefinitionObject::AES_128_CFB,
        Some([0; 32]),
    )
}

/// Attestation key: signs only what the TPM itself says. `unique` makes it one of many.
pub(crate) fn ak_template(unique: &[u8; 32]) -> Result<Public, TpmError> {
    let attributes = own_attributes().with_restricted(true).with_sign_encrypt(true);
    p256_template(attributes, ecdsa(), SymmetricDefinitionObject::Null, Some(*unique))
}

/// Device key: signs what it is given (TLS handshakes, round entries).
pub(crate) fn dk_template() -> Result<Public, TpmError> {
    let attributes = own_attributes().with_sign_encrypt(true);
    p256_template(attributes, ecdsa(), SymmetricDefinitionObject::Null, None)
}

/// What all our keys have in common: they never leave this TPM, it made them, they need an empty
/// password, and failures to give it count towards no lockout.
pub(crate) fn own_attributes() -> ObjectAttributesBuilder {
    ObjectAttributes::builder()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
}

fn ecdsa() -> EccScheme {
    EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256))
}

fn p256_template(
    attributes: ObjectAttributesBuilder,
    scheme: EccScheme,
    symmetric: SymmetricDefinitionObject,
    unique_x: Option<[u8; 32]>,
) -> Result<Public, TpmError> {
    let build = || {
        let attributes = attributes.build()?;
        let parameters = PublicEccParametersBuilder::new()
            .with_ecc_scheme(scheme)
            .with_curve(EccCurve::NistP256)
            .with_symmetric(symmetric)
            .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
            .with_is_signing_key(attributes.sign_encrypt())
            .with_is_decryption_key(attributes.decrypt())
            .with_restricted(attributes.restricted())
            .build()?;
        let coordinate = |bytes: &[u8]| EccParameter::try_from(bytes);
        let unique = match unique_x {
            Some(x) => EccPoint::new(coordinate(&x)?, coordinate(&[0; 32])?),
            None => EccPoint::default(),
        };
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_ecc_parameters(parameters)
            .with_ecc_unique_identifier(unique)
            .build()
    };
    build().map_err(during("describing a key"))
}

/// TPMT_PUBLIC in its wire form.
pub(crate) fn wire(public: &Public) -> Result<Vec<u8>, TpmError> {
    public.marshall().map_err(during("encoding a public key"))
}

/// The TPM name of an object named with SHA-256 (Part 1, 16).
pub(crate) fn name(public: &[u8]) -> Vec<u8> {
    [NAME_ALGORITHM.as_slice(), &Sha256::digest(public)].concat()
}
