//! Measured boot: the PCRs quoted are those asked for, hash to the digest, and suit the policy.

use sha2::{Digest, Sha256};

use crate::messages::PcrValues;
use crate::policy::{EnrolmentPolicy, PcrMode};
use crate::refusals::{PCR_POLICY, PCR_SELECTION, PCR_VALUES, Refusal};
use crate::tpm::{PcrBank, alg};

/// The PCR that records the secure boot policy.
const SECURE_BOOT: u8 = 7;

/// How the values compare with the policy's baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcrVerdict {
    /// They are one of the baselines.
    Known,
    /// They are none of them, which the policy only monitors.
    Unknown,
}

/// Demands that exactly `wanted`, ascending, of the SHA-256 bank alone was quoted.
///
/// # Errors
/// Check 33.
pub fn check_selection(quoted: &[PcrBank], wanted: &[u8]) -> Result<(), Refusal> {
    let [bank] = quoted else {
        return Err(PCR_SELECTION.refuse(format_args!("{} banks quoted, not one", quoted.len())));
    };
    if bank.hash != alg::SHA256 {
        return Err(PCR_SELECTION.refuse(format_args!("bank {:#06x} quoted", bank.hash)));
    }
    let indices = bank.indices();
    if indices != wanted {
        return Err(PCR_SELECTION.refuse(format_args!("PCRs {indices:?} quoted, not {wanted:?}")));
    }
    Ok(())
}

/// Demands that `values` are those of `wanted` and hash to the quoted digest.
///
/// # Errors
/// Check 34.
pub fn check_values(values: &PcrValues, wanted: &[u8], digest: &[u8]) -> Result<(), Refusal> {
    if !values.0.keys().eq(wanted) {
        return Err(PCR_VALUES.refuse(format_args!("values of other PCRs than {wanted:?}")));
    }
    if self::digest(values)[..] != *digest {
        return Err(PCR_VALUES.refuse("the PCR values do not hash to the quoted digest"));
    }
    Ok(())
}

/// What a quote holds for these values: SHA-256 over them, ascending by index.
pub fn digest(values: &PcrValues) -> [u8; 32] {
    values.0.values().fold(Sha256::new(), Digest::chain_update).finalize().into()
}

/// Compares with the baselines.
///
/// # Errors
/// Check 35 in the mode enforce: for an unknown state, and for a PCR 7 that nothing measured.
pub fn judge(values: &PcrValues, policy: &EnrolmentPolicy) -> Result<PcrVerdict, Refusal> {
    let measured = is_measured(values);
    let known = policy.data().pcr_baselines.contains(values) && measured;
    match (known, policy.data().pcr_mode) {
        (true, _) => Ok(PcrVerdict::Known),
        (false, PcrMode::Monitor) => Ok(PcrVerdict::Unknown),
        (false, PcrMode::Enforce) if measured => {
            Err(PCR_POLICY.refuse("pending approval: the PCR values are no state that is known"))
        }
        (false, PcrMode::Enforce) => {
            Err(PCR_POLICY.refuse("PCR 7 is zero: nothing measured the secure boot policy"))
        }
    }
}

/// Whether these values can be a baseline: a PCR 7 of zero says that nothing measured the secure
/// boot policy, and nobody can approve that.
pub fn is_measured(values: &PcrValues) -> bool {
    values.0.get(&SECURE_BOOT) != Some(&[0; 32])
}
