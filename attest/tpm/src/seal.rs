//! A 32-byte key that this TPM gives out only while its PCRs are what they were.

use crate::error::{TpmError, during, kind};
use crate::keys::{Blob, wire, with_child, with_srk};
use crate::pcr;
use crate::session::{Strength, with_salted_session};
use sha2::{Digest as _, Sha256};
use tss_esapi::Context;
use tss_esapi::attributes::ObjectAttributes;
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, KeyedHashScheme, Public, PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use zeroize::Zeroizing;

/// TPM_CC_PolicyPCR.
const POLICY_PCR: [u8; 4] = [0, 0, 0x01, 0x7f];
const WHAT: &str = "the sealed key";

/// 32 secret bytes in one place of the heap, wiped when dropped.
pub(crate) type Key = Box<Zeroizing<[u8; 32]>>;

/// Seals `key` to the present values of `pcrs`.
pub(crate) fn seal(
    context: &mut Context,
    srk_name: &[u8],
    pcrs: &[u8],
    key: &Key,
) -> Result<Blob, TpmError> {
    let doing = during("sealing a key");
    let policy = policy(pcrs, &pcr::read(context, pcrs)?);
    let template = template(&policy)?;
    let secret = SensitiveData::try_from(key.as_slice()).map_err(&doing)?;
    with_srk(context, srk_name, |context, srk| {
        with_salted_session(
            context,
            srk,
            SessionType::Hmac,
            Strength::STANDARD,
            |context, session| {
                let made = context
                    .execute_with_session(Some(session), |context| {
                        context.create(srk, template, None, Some(secret), None, None)
                    })
                    .map_err(&doing)?;
                Ok(Blob {
                    public: wire(&made.out_public)?,
                    private: made.out_private.value().into(),
                })
            },
        )
    })
}

/// Gives back what [`seal`] sealed, or [`TpmError::PcrChanged`].
pub(crate) fn unseal(
    context: &mut Context,
    srk_name: &[u8],
    pcrs: &[u8],
    blob: &Blob,
) -> Result<Key, TpmError> {
    with_child(context, srk_name, WHAT, blob, |context, sealed| {
        with_srk(context, srk_name, |context, srk| {
            with_salted_session(
                context,
                srk,
                SessionType::Policy,
                Strength::STANDARD,
                |context, session| unseal_in(context, session, pcrs, sealed),
            )
        })
    })
}

fn unseal_in(
    context: &mut Context,
    session: AuthSession,
    pcrs: &[u8],
    sealed: KeyHandle,
) -> Result<Key, TpmError> {
    let doing = during("unsealing a key");
    let policy = PolicySession::try_from(session).map_err(&doing)?;
    let selection = pcr::selection(pcrs)?;
    // An empty digest: the TPM takes the values that the PCRs have now.
    context
        .execute_without_session(|context| context.policy_pcr(policy, Digest::default(), selection))
        .map_err(&doing)?;
    let data = context
        .execute_with_session(Some(session), |context| context.unseal(sealed.into()))
        .map_err(|error| match kind(&error) {
            Some(Kind::PolicyFail | Kind::PcrChanged) => TpmError::PcrChanged { pcrs: pcrs.into() },
            _ => doing(error),
        })?;
    let mut key = Box::new(Zeroizing::new([0; 32]));
    if data.value().len() != key.len() {
        return Err(TpmError::Damaged { what: WHAT });
    }
    key.copy_from_slice(data.value());
    Ok(key)
}

/// A data object that only the policy opens: no password counts, so no lockout either.
fn template(policy: &[u8; 32]) -> Result<Public, TpmError> {
    let build = || {
        let attributes = ObjectAttributes::builder()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_admin_with_policy(true)
            .with_no_da(true)
            .build()?;
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::KeyedHash)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_auth_policy(Digest::try_from(policy.as_slice())?)
            .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
            .with_keyed_hash_unique_identifier(Digest::default())
            .build()
    };
    build().map_err(during("describing a sealed key"))
}

/// The policy digest after one TPM2_PolicyPCR (Part 3, 23.7).
fn policy(pcrs: &[u8], values: &pcr::Values) -> [u8; 32] {
    Sha256::new()
        .chain_update([0; 32])
        .chain_update(POLICY_PCR)
        .chain_update(pcr::selection_wire(pcrs))
        .chain_update(pcr::digest(values))
        .finalize()
        .into()
}
