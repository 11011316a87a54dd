//! What the TPM signs and answers for the authority: quote, certification, activation.

use crate::endorsement::{EkAlgorithm, with_ek};
use crate::error::{TpmError, during, kind};
use crate::keys::{Blob, with_ak, with_child};
use crate::pcr;
use crate::session::{ONE_EMPTY, TWO_EMPTY, with_salted_session};
use sealsum_attest::binding::ActivationSecret;
use sealsum_attest::messages::PcrValues;
use sha2::{Digest as _, Sha384};
use tss_esapi::Context;
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::handles::{AuthHandle, KeyHandle};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Attest, AttestInfo, Data, Digest, DigestList, EncryptedSecret, IdObject, Nonce, Signature,
    SignatureScheme,
};
use tss_esapi::traits::Marshall;

/// Quotes made before giving up on PCRs that change between the quote and the reading.
const QUOTE_ATTEMPTS: u32 = 5;
/// TPM_CC_PolicySecret followed by the name of the endorsement hierarchy.
const POLICY_SECRET_ENDORSEMENT: [u8; 8] = [0, 0, 0x01, 0x51, 0x40, 0, 0, 0x0b];
/// PolicyC of the EK profile for SHA-384: the other way to use a high-range EK, never taken here.
const POLICY_C_SHA384: [u8; 48] = [
    0xd6, 0x03, 0x2c, 0xe6, 0x1f, 0x2f, 0xb3, 0xc2, 0x40, 0xeb, 0x3c, 0xf6, 0xa3, 0x32, 0x37, 0xef,
    0x2b, 0x6a, 0x16, 0xf4, 0x29, 0x3c, 0x22, 0xb4, 0x55, 0xe2, 0x61, 0xcf, 0xfd, 0x21, 0x7a, 0xd5,
    0xb4, 0x94, 0x7c, 0x2d, 0x73, 0xe6, 0x30, 0x05, 0xee, 0xd2, 0xdc, 0x2b, 0x35, 0x93, 0xd1, 0x65,
];

/// A statement of the TPM: TPMS_ATTEST and TPMT_SIGNATURE in their wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE of the attestation key.
    pub signature: Vec<u8>,
}

/// A quote and the PCR values it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The statement.
    pub statement: Statement,
    /// The values whose digest it contains.
    pub pcrs: PcrValues,
}

/// How to make the attestation key again, and what must come out.
#[derive(Clone)]
pub(crate) struct AkRecipe {
    pub(crate) unique: [u8; 32],
    pub(crate) public: Vec<u8>,
}

/// TPM2_Quote over `pcrs` with `data` as extraData, repeated until the values read beside it are
/// those quoted: the two are separate commands.
pub(crate) fn quote(
    context: &mut Context,
    ak: &AkRecipe,
    data: &[u8; 32],
    pcrs: &[u8],
) -> Result<Quote, TpmError> {
    with_ak(context, &ak.unique, &ak.public, |context, key| {
        for _ in 0..QUOTE_ATTEMPTS {
            let (attest, signature) = quote_once(context, key, data, pcrs)?;
            let values = pcr::read(context, pcrs)?;
            let AttestInfo::Quote { info } = attest.attested() else { continue };
            if info.pcr_digest().value() == pcr::digest(&values) {
                let statement = statement(&attest, &signature)?;
                return Ok(Quote { statement, pcrs: PcrValues(values) });
            }
        }
        Err(TpmError::PcrsUnstable)
    })
}

fn quote_once(
    context: &mut Context,
    ak: KeyHandle,
    data: &[u8; 32],
    pcrs: &[u8],
) -> Result<(Attest, Signature), TpmError> {
    let doing = during("quoting PCRs");
    let data = Data::try_from(data.as_slice()).map_err(&doing)?;
    let selection = pcr::selection(pcrs)?;
    context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.quote(ak, data, SignatureScheme::Null, selection)
        })
        .map_err(doing)
}

/// TPM2_Certify of the device key by the attestation key, with `data` as extraData.
pub(crate) fn certify(
    context: &mut Context,
    ak: &AkRecipe,
    srk_name: &[u8],
    device_key: &Blob,
    data: &[u8; 32],
) -> Result<Statement, TpmError> {
    let doing = during("certifying the device key");
    let data = Data::try_from(data.as_slice()).map_err(&doing)?;
    with_child(context, srk_name, "the device key", device_key, |context, object| {
        with_ak(context, &ak.unique, &ak.public, |context, key| {
            let (attest, signature) = context
                .execute_with_sessions(TWO_EMPTY, |context| {
                    context.certify(object.into(), key, data, SignatureScheme::Null)
                })
                .map_err(&doing)?;
            statement(&attest, &signature)
        })
    })
}

/// TPM2_ActivateCredential: recovers the secret only if it was made for this attestation key and
/// this endorsement key. `blob` and `secret` are TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET
/// without their outer sizes.
pub(crate) fn activate(
    context: &mut Context,
    algorithm: EkAlgorithm,
    ak: &AkRecipe,
    blob: &[u8],
    secret: &[u8],
) -> Result<ActivationSecret, TpmError> {
    let blob = IdObject::try_from(blob).map_err(|_| TpmError::Credential)?;
    let secret = EncryptedSecret::try_from(secret).map_err(|_| TpmError::Credential)?;
    with_ek(context, algorithm, |context, ek, _| {
        with_ak(context, &ak.unique, &ak.public, |context, key| {
            let strength = algorithm.strength();
            with_salted_session(context, ek, SessionType::Policy, strength, |context, session| {
                satisfy_ek_policy(context, algorithm, session)?;
                let sessions = (Some(AuthSession::Password), Some(session), None);
                let opened = context.execute_with_sessions(sessions, |context| {
                    context.activate_credential(key, ek, blob, secret)
                });
                activation_secret(opened)
            })
        })
    })
}

fn activation_secret(opened: tss_esapi::Result<Digest>) -> Result<ActivationSecret, TpmError> {
    // Some TPMs call a ciphertext that does not decrypt a failure, and work on.
    let opened = opened.map_err(|error| match kind(&error) {
        Some(
            Kind::Integrity
            | Kind::Size
            | Kind::Value
            | Kind::Insufficient
            | Kind::EccPoint
            | Kind::Failure,
        ) => TpmError::Credential,
        _ => during("activating a credential")(error),
    })?;
    // The copy of the library is wiped by the library.
    let mut secret = Box::new([0; 32]);
    if opened.value().len() != secret.len() {
        return Err(TpmError::Credential);
    }
    secret.copy_from_slice(opened.value());
    Ok(ActivationSecret::new(secret))
}

/// Policy A of the EK profile (the endorsement hierarchy's authorisation), and for high-range
/// keys policy B, which is A or C.
fn satisfy_ek_policy(
    context: &mut Context,
    algorithm: EkAlgorithm,
    session: AuthSession,
) -> Result<(), TpmError> {
    let doing = during("authorising the endorsement key");
    let policy = PolicySession::try_from(session).map_err(&doing)?;
    context
        .execute_with_sessions(ONE_EMPTY, |context| {
            let (nonce, reference) = (Nonce::default(), Nonce::default());
            let handle = AuthHandle::Endorsement;
            context.policy_secret(policy, handle, nonce, Digest::default(), reference, None)
        })
        .map_err(&doing)?;
    if algorithm != EkAlgorithm::P384 {
        return Ok(());
    }
    let build = || {
        let mut either = DigestList::new();
        either.add(Digest::try_from(policy_a_sha384().as_slice())?)?;
        either.add(Digest::try_from(POLICY_C_SHA384.as_slice())?)?;
        Ok(either)
    };
    let either = build().map_err(&doing)?;
    context.execute_without_session(|context| context.policy_or(policy, either)).map_err(doing)
}

/// The policy digest after TPM2_PolicySecret(endorsement hierarchy) with an empty reference.
fn policy_a_sha384() -> [u8; 48] {
    let secret = Sha384::new().chain_update([0; 48]).chain_update(POLICY_SECRET_ENDORSEMENT);
    Sha384::digest(secret.finalize()).into()
}

fn statement(attest: &Attest, signature: &Signature) -> Result<Statement, TpmError> {
    let doing = during("encoding a statement");
    Ok(Statement {
        attest: attest.marshall().map_err(&doing)?,
        signature: signature.marshall().map_err(&doing)?,
    })
}
