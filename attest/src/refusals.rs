//! Why evidence is refused: one numbered, named check for each way it can be wrong.
//!
//! The numbers are stable; error codes, tests and the documentation share this one list. Numbers
//! 20 (a request for other certificate attributes) and 38 (an unsafe clock) are missing on
//! purpose: both must be accepted. Boot event logs (36) are not read yet.

use std::fmt;

use thiserror::Error;

/// Who finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// The pure verifier of this crate.
    Verifier,
    /// The authority, which remembers sessions, tokens and devices.
    Authority,
}

/// One check of the evidence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Its number.
    pub number: u8,
    /// Its stable name.
    pub name: &'static str,
    /// What is refused.
    pub refuses: &'static str,
    /// Who finds out.
    pub finder: Finder,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({} {})", self.number, self.name)
    }
}

/// Evidence was refused: which check, and what exactly was seen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail} (check {} {})", check.number, check.name)]
pub struct Refusal {
    /// The check that failed.
    pub check: Check,
    /// What was seen, in a sentence without a final stop; no secret is in it.
    pub detail: String,
}

impl Check {
    /// Refuses with this check; `detail` says what was seen.
    pub fn refuse(self, detail: impl fmt::Display) -> Refusal {
        Refusal { check: self, detail: detail.to_string() }
    }
}

/// Declares each check as a constant and collects them in [`ALL`].
macro_rules! checks {
    ($($finder:ident $number:literal $constant:ident $name:literal $refuses:literal;)+) => {
        $(
            #[doc = $refuses]
            pub const $constant: Check = Check {
                number: $number,
                name: $name,
                refuses: $refuses,
                finder: Finder::$finder,
            };
        )+

        /// Every check, by number.
        pub const ALL: &[Check] = &[$($constant),+];
    };
}

checks! {
    Verifier 1 UNKNOWN_ROOT "unknown_root"
        "An endorsement certificate that no installed root vouches for.";
    Verifier 2 OTHER_KEY "other_key"
        "An endorsement certificate of another key than the one shown.";
    Verifier 3 VALIDITY "validity"
        "An endorsement chain outside its validity.";
    Verifier 4 CERTIFICATE_FORM "certificate_form"
        "An endorsement certificate that is not exactly one DER certificate.";
    Verifier 5 CERTIFICATE_PURPOSE "certificate_purpose"
        "An endorsement certificate for another purpose, or of a certificate authority.";
    Verifier 6 CRITICAL_EXTENSION "critical_extension"
        "An endorsement chain with a critical extension we do not know.";
    Verifier 7 EK_TEMPLATE "ek_template"
        "An endorsement key that is not of the TCG default template.";
    Verifier 8 EK_STRENGTH "ek_strength"
        "An endorsement or issuer key that is too short, of another curve, or off its curve.";
    Authority 9 NOT_ADMITTED "not_admitted"
        "A device on no allow-list and without a valid token for it.";
    Verifier 10 SOFTWARE_TPM "software_tpm"
        "A software TPM where the policy demands hardware.";
    Verifier 11 FIRMWARE "firmware"
        "Firmware that the policy denies.";
    Verifier 12 AK_UNRESTRICTED "ak_unrestricted"
        "An attestation key that would sign any bytes, so that its quotes prove nothing.";
    Verifier 13 AK_ATTRIBUTES "ak_attributes"
        "An attestation key that can leave its TPM, was imported, or may decrypt.";
    Verifier 14 KEY_SCHEME "key_scheme"
        "An attestation or device key that is not ECDSA with SHA-256 on P-256.";
    Verifier 15 DK_ATTRIBUTES "dk_attributes"
        "A device key that is restricted, can leave its TPM, was imported, or may decrypt.";
    Verifier 16 DK_IS_AK "dk_is_ak"
        "One key as both attestation key and device key.";
    Verifier 17 CERTIFIED_OTHER "certified_other"
        "A certification of another object than the device key.";
    Verifier 18 CSR_KEY "csr_key"
        "A certificate request for another key than the device key.";
    Verifier 19 CSR_SIGNATURE "csr_signature"
        "A certificate request that is malformed or not signed by its key.";
    Verifier 22 ACTIVATION "activation"
        "An activation proof that is wrong, missing, of another session (23), for another \
         attestation key (21) or by another TPM (26).";
    Authority 24 SESSION_REPLAYED "session_replayed"
        "A session that is unknown or was answered before.";
    Verifier 25 SESSION_EXPIRED "session_expired"
        "An answer after the session's end.";
    Verifier 27 CERTIFY_SIGNATURE "certify_signature"
        "A certification not signed by the attestation key.";
    Verifier 28 MAGIC "magic"
        "A structure that no TPM generated.";
    Verifier 29 ATTESTATION_TYPE "attestation_type"
        "A certification in the place of a quote, or the other way round.";
    Verifier 30 NONCE "nonce"
        "A quote or certification made for another session, device or purpose.";
    Verifier 31 QUOTE_SIGNATURE "quote_signature"
        "A quote not signed by the attestation key.";
    Verifier 32 TPM_STRUCTURE "tpm_structure"
        "A TPM structure with trailing bytes, lengths beyond it, or unknown selectors.";
    Verifier 33 PCR_SELECTION "pcr_selection"
        "A quote over other PCRs or another bank than asked for.";
    Verifier 34 PCR_VALUES "pcr_values"
        "PCR values that are not those quoted.";
    Verifier 35 PCR_POLICY "pcr_policy"
        "PCR values that the policy does not allow.";
    Verifier 37 COUNTERS "counters"
        "Reset, restart or firmware counters that went down since the last attestation.";
    Verifier 39 X25519_LOW_ORDER "x25519_low_order"
        "An X25519 key of low order.";
    Verifier 40 X25519_POSSESSION "x25519_possession"
        "A possession proof that is wrong, missing or of another X25519 key.";
    Verifier 41 X25519_REFLECTED "x25519_reflected"
        "The authority's own challenge shown as the device's X25519 key.";
    Authority 42 X25519_TAKEN "x25519_taken"
        "An X25519 key that another device holds.";
    Authority 43 ENROLLED_AT_ONCE "enrolled_at_once"
        "The same endorsement key in two enrolments at once.";
    Authority 44 CLONE "clone"
        "A copied identity whose keys do not load in this TPM.";
    Authority 45 NAME_TAKEN "name_taken"
        "Another endorsement key under a known name.";
    Authority 46 REVOKED "revoked"
        "A revoked device.";
    Authority 47 OTHER_DEVICE "other_device"
        "One device's certificate with another device's evidence.";
    Authority 48 RENEWAL_REPLAYED "renewal_replayed"
        "A renewal that was answered before.";
    Authority 49 OLD_KEY "old_key"
        "Evidence by an attestation key that was replaced.";
    Verifier 53 PROTOCOL_VERSION "protocol_version"
        "A request of an unknown version, or one that exceeds a bound.";
    Verifier 54 ATTESTATION_RESULT "attestation_result"
        "An attestation result that the authority did not sign, or not about this evidence.";
    Verifier 55 EVIDENCE_FILES "evidence_files"
        "An evidence directory with missing, additional or rewritten files.";
}

/// The check of this number.
pub fn by_number(number: u8) -> Option<Check> {
    ALL.iter().copied().find(|check| check.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_names_differ() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(by_number(12), Some(AK_UNRESTRICTED));
        assert_eq!(by_number(38), None);
    }
}
