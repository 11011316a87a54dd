//! Handles that are given back on every path.

use crate::error::{TpmError, during};
use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::SymmetricDefinition;

/// The empty authorisation that every object here has, as the one or two sessions of a command.
pub(crate) const ONE_EMPTY: Sessions = (Some(AuthSession::Password), None, None);
/// The same for commands that use two objects.
pub(crate) const TWO_EMPTY: Sessions =
    (Some(AuthSession::Password), Some(AuthSession::Password), None);

type Sessions = (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>);

/// The algorithms of a session; the parameters it encrypts are as strong as the key it is
/// salted to.
#[derive(Clone, Copy)]
pub(crate) struct Strength {
    pub(crate) cipher: SymmetricDefinition,
    pub(crate) hash: HashingAlgorithm,
}

impl Strength {
    pub(crate) const STANDARD: Self =
        Self { cipher: SymmetricDefinition::AES_128_CFB, hash: HashingAlgorithm::Sha256 };
    pub(crate) const HIGH: Self =
        Self { cipher: SymmetricDefinition::AES_256_CFB, hash: HashingAlgorithm::Sha384 };
}

/// Runs `job` with an object that is flushed afterwards.
pub(crate) fn with_object<T>(
    context: &mut Context,
    object: KeyHandle,
    job: impl FnOnce(&mut Context, KeyHandle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let result = job(context, object);
    flush(context, object.into());
    result
}

/// Runs `job` with a session salted to `key` that encrypts the first parameter of every command
/// and of every response; it is flushed afterwards. A session without a salt would look the same
/// and hide nothing: its keys derive from nonces that cross the bus in clear.
pub(crate) fn with_salted_session<T>(
    context: &mut Context,
    key: KeyHandle,
    kind: SessionType,
    strength: Strength,
    job: impl FnOnce(&mut Context, AuthSession) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    const DOING: &str = "starting an encrypted session";
    let session = context
        .execute_without_session(|context| {
            context.start_auth_session(Some(key), None, None, kind, strength.cipher, strength.hash)
        })
        .map_err(during(DOING))?
        .ok_or(TpmError::Failed { doing: DOING, reason: "no session handle".into() })?;
    let (attributes, mask) =
        SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
    let result = context
        .tr_sess_set_attributes(session, attributes, mask)
        .map_err(during(DOING))
        .and_then(|()| job(context, session));
    flush(context, SessionHandle::from(session).into());
    result
}

/// A failed flush leaves the object to the next connection, which frees all slots.
fn flush(context: &mut Context, object: ObjectHandle) {
    let flushed = context.execute_without_session(|context| context.flush_context(object));
    if let Err(error) = flushed {
        tracing::debug!(%error, "an object could not be flushed");
    }
}
