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
    /// Vendor's firmware version.
    pub firmware_version: u64,
}

impl TpmState {
    /// Demands that nothing went down since `last`. An unsafe or backward clock is no fault: power
    /// cuts make one.
    ///
    /// # Errors
    /// Check 37.
    pub fn check_after(&self, last: &Self) -> Result<(), Refusal> {
        let counters = (self.reset_count, self.restart_count);
        if counters < (last.reset_count, last.restart_count) {
            return Err(COUNTERS.refuse("the TPM's reset and restart counters went down"));
        }
        if self.firmware_version < last.firmware_version {
            return Err(COUNTERS.refuse("the TPM's firmware went back to an older version"));
        }
        Ok(())
    }
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
    let ClockInfo { reset_count, restart_count, .. } = parsed.clock;
    Ok(TpmState { reset_count, restart_count, firmware_version: parsed.firmware_version })
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
