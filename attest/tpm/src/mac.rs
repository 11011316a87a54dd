//! An authentication code that only this TPM can make, whatever becomes of the state directory.
//!
//! The key is a primary object of the endorsement hierarchy with nothing random in its template, so
//! the TPM makes the same one each time, also after TPM2_Clear (Part 1, 27: primary objects; Clear
//! keeps the endorsement seed). It is never on disk.

use crate::error::{TpmError, during};
use crate::keys::{own_attributes, with_primary};
use crate::session::ONE_EMPTY;
use crate::worker::Tpm;
use sha2::{Digest as _, Sha256};
use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{
    Digest, HmacScheme, KeyedHashScheme, MaxBuffer, Public, PublicBuilder,
    PublicKeyedHashParameters,
};

/// Longest message, in bytes: what every TPM takes in one command.
pub const MESSAGE_MAX: usize = 1024;

/// HMAC-SHA-256 of `message` under the key that `purpose` leads to.
///
/// # Errors
/// [`TpmError::Failed`] for a message above [`MESSAGE_MAX`], [`TpmError::Password`] if the TPM's
/// owner set one, [`TpmError::Unreachable`] and the like.
pub fn authenticate(tpm: &Tpm, purpose: &str, message: &[u8]) -> Result<[u8; 32], TpmError> {
    let (unique, message) = (Sha256::digest(purpose), message.to_vec());
    tpm.run(move |context| {
        let template = template(&unique)?;
        let making = "making the key of an authentication code";
        with_primary(context, making, Hierarchy::Endorsement, template, |context, key, _| {
            code(context, key, &message)
        })
    })
}

fn code(context: &mut Context, key: KeyHandle, message: &[u8]) -> Result<[u8; 32], TpmError> {
    let doing = during("making an authentication code");
    let message = MaxBuffer::try_from(message).map_err(&doing)?;
    let made = context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.hmac(key.into(), message, HashingAlgorithm::Sha256)
        })
        .map_err(doing)?;
    made.value().try_into().map_err(|_| TpmError::Damaged { what: "an authentication code" })
}

fn template(unique: &[u8]) -> Result<Public, TpmError> {
    let build = || {
        let attributes = own_attributes().with_sign_encrypt(true).build()?;
        let scheme =
            KeyedHashScheme::Hmac { hmac_scheme: HmacScheme::new(HashingAlgorithm::Sha256) };
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::KeyedHash)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_keyed_hash_parameters(PublicKeyedHashParameters::new(scheme))
            .with_keyed_hash_unique_identifier(Digest::try_from(unique)?)
            .build()
    };
    build().map_err(during("describing a key"))
}
