//! What an attestation key signed: quotes and certifications.

use crate::certificate::PublicKey;
use crate::messages::PcrValues;
use crate::pcr;
use crate::refusals::{
    ATTESTATION_TYPE, CERTIFIED_OTHER, CERTIFY_SIGNATURE, COUNTERS, Check, MAGIC, NONCE,
    QUOTE_SIGNATURE, Refusal, TPM_STRUCTURE,
};
use crate::tpm::{Attest, Attested, ClockInfo, EcdsaSignature, ParseError, alg};

/// What a good quote tells besides the PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TpmState {
    /// TPM resets.
    pub reset_count: u32,
    /// Restarts since the last reset.
    pub restart_count: u32,
    /// Milliseconds of the TPM's clock. Within one reset and restart it only grows; a power cut
    /// may set it back.
    pub clock_ms: u64,
    /// Vendor's firmware version.
    pub firmware_version: u64,
}

impl TpmState {
    /// Demands that nothing went down since `last`. An unsafe clock is no fault, nor is one that a
    /// reset or restart set back: power cuts make them.
    ///
    /// # Errors
    /// Check 37.
    pub fn check_after(&self, last: &Self) -> Result<(), Refusal> {
        if self.is_before(last) {
            return Err(
                COUNTERS.refuse("the TPM's reset and restart counters or its clock went down")
            );
        }
        if self.firmware_version < last.firmware_version {
            return Err(COUNTERS.refuse("the TPM's firmware went back to an older version"));
        }
        Ok(())
    }

    /// Whether one TPM that was in the state `last` can never be in this one again: then there are
    /// two, or its memory was set back. Clearing a TPM starts its counters anew, so both states
    /// must be of one storage hierarchy (TPM 2.0 Library, Part 3, TPM2_Clear).
    pub fn is_before(&self, last: &Self) -> bool {
        let order = |state: &Self| (state.reset_count, state.restart_count, state.clock_ms);
        order(self) < order(last)
    }
}

/// The state that a TPMS_ATTEST tells, whoever signed it.
///
/// # Errors
/// Checks 28 and 32.
pub fn state_of(attest: &[u8]) -> Result<TpmState, Refusal> {
    parse_attest("quote", attest).map(|parsed| state(&parsed))
}

fn state(parsed: &Attest) -> TpmState {
    let ClockInfo { clock, reset_count, restart_count, .. } = parsed.clock;
    let firmware_version = parsed.firmware_version;
    TpmState { reset_count, restart_count, clock_ms: clock, firmware_version }
}

/// Demands a quote of exactly the PCRs `wanted`, made by `ak` for `extra_data`.
///
/// # Errors
/// Checks 28 to 34.
pub fn check_quote(
    attest: &[u8],
    signature: &[u8],
    values: &PcrValues,
    ak: &PublicKey,
    extra_data: &[u8; 32],
    wanted: &[u8],
) -> Result<TpmState, Refusal> {
    let parsed = parse_attest("quote", attest)?;
    let Attested::Quote { selection, digest } = &parsed.attested else {
        return Err(ATTESTATION_TYPE.refuse("a certification in the place of the quote"));
    };
    check_signature(attest, signature, ak, QUOTE_SIGNATURE)?;
    check_nonce("quote", &parsed, extra_data)?;
    pcr::check_selection(selection, wanted)?;
    pcr::check_values(values, wanted, digest)?;
    Ok(state(&parsed))
}

/// Demands a certification of the object `name`, made by `ak` for `extra_data`.
///
/// # Errors
/// Checks 17, 27 to 30 and 32.
pub fn check_certify(
    attest: &[u8],
    signature: &[u8],
    ak: &PublicKey,
    extra_data: &[u8; 32],
    name: &[u8],
) -> Result<(), Refusal> {
    let parsed = parse_attest("certification", attest)?;
    let Attested::Certify { name: certified, .. } = &parsed.attested else {
        return Err(ATTESTATION_TYPE.refuse("a quote in the place of the certification"));
    };
    check_signature(attest, signature, ak, CERTIFY_SIGNATURE)?;
    check_nonce("certification", &parsed, extra_data)?;
    if certified != name {
        return Err(CERTIFIED_OTHER.refuse("another object than the device key is certified"));
    }
    Ok(())
}

fn parse_attest(what: &str, attest: &[u8]) -> Result<Attest, Refusal> {
    Attest::parse(attest).map_err(|error| match error {
        ParseError::Magic(_) => MAGIC.refuse(format_args!("the {what}: {error}")),
        _ => TPM_STRUCTURE.refuse(format_args!("the {what} is malformed: {error}")),
    })
}

fn check_signature(
    attest: &[u8],
    signature: &[u8],
    ak: &PublicKey,
    check: Check,
) -> Result<(), Refusal> {
    let parsed = EcdsaSignature::parse(signature)
        .map_err(|error| TPM_STRUCTURE.refuse(format_args!("a malformed signature: {error}")))?;
    if parsed.hash != alg::SHA256 {
        return Err(check.refuse(format_args!("signed with the hash {:#06x}", parsed.hash)));
    }
    parsed
        .to_p256()
        .and_then(|signature| ak.verify(attest, &signature).ok())
        .ok_or_else(|| check.refuse("the signature is not by the attestation key"))
}

/// The nonce is public, so it needs no constant time.
fn check_nonce(what: &str, attest: &Attest, extra_data: &[u8; 32]) -> Result<(), Refusal> {
    if attest.extra_data != extra_data {
        return Err(NONCE.refuse(format_args!("the {what} was made for something else")));
    }
    Ok(())
}
