//! Each refusal there is, once: the list that errors, tests and docs share.
//!
//! A guard is a check whose failure makes a device, or the aggregator, refuse what it was sent.
//! The ids and names are stable; `docs/protocol.md` carries the same table and a test keeps it so.

use std::fmt;

macro_rules! guards {
    ($($variant:ident $id:literal $name:literal $by:ident $why:literal;)*) => {
        /// A check that can refuse.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Guard {
            $(#[doc = $why] $variant,)*
        }

        impl Guard {
            /// Each guard, by id.
            pub const ALL: &'static [Guard] = &[$(Guard::$variant),*];

            /// The stable id, `G01` and so on.
            pub fn id(self) -> &'static str {
                match self { $(Guard::$variant => $id,)* }
            }

            /// The stable name, which is also the error code.
            pub fn name(self) -> &'static str {
                match self { $(Guard::$variant => $name,)* }
            }

            /// Who makes the check.
            pub fn by(self) -> By {
                match self { $(Guard::$variant => By::$by,)* }
            }

            /// What must hold, in one sentence.
            pub fn explanation(self) -> &'static str {
                match self { $(Guard::$variant => $why,)* }
            }
        }
    };
}

/// Who makes a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The device, against the aggregator and the other devices.
    Device,
    /// The aggregator, against a device.
    Aggregator,
    /// Both.
    Both,
}

impl By {
    /// The word for it in a table.
    pub fn as_str(self) -> &'static str {
        match self {
            By::Device => "device",
            By::Aggregator => "aggregator",
            By::Both => "both",
        }
    }
}

guards! {
    Encoding "G01" "encoding" Both
        "A message is the canonical encoding of this protocol version, and no longer than its bound.";
    OwnerSignature "G02" "owner_signature" Both
        "The task, and the grant if there is one, carry the owner's signature.";
    TaskInvalid "G03" "task_invalid" Both
        "The task's values lie in their ranges and do not contradict each other.";
    PolicyFloor "G04" "policy_floor" Device
        "The task meets each floor of the device's own policy.";
    TaskWindow "G05" "task_window" Device
        "The round lies within the task's dates, its number of rounds and its shortest interval.";
    Grant "G06" "grant" Both
        "A task whose model is granted comes with the owner's grant for this round; another has none.";
    Submission "G07" "submission" Device
        "The pending update answers this round and this model.";
    RoundReplayed "G08" "round_replayed" Device
        "The round number is above the highest that this device entered for the task.";
    Width "G09" "width" Both
        "The ring is wide enough that a sum with its noise overflows with probability below 1e-9.";
    SecondRoster "G10" "second_roster" Device
        "A round has one roster; another one is evidence against the aggregator.";
    RosterEncoding "G11" "roster_encoding" Device
        "The roster's entries are in strictly increasing order of device id.";
    OwnEntry "G12" "own_entry" Device
        "The device's own entry is in the roster, byte for byte as it was sent.";
    DuplicateKey "G13" "duplicate_key" Both
        "No two entries share a device, a certificate or a key.";
    BadKey "G14" "bad_key" Both
        "Each key is canonical and not of low order, and each agreement gives a non-zero secret.";
    CohortSize "G15" "cohort_size" Device
        "The roster holds at least min_contributors and at most max_devices devices.";
    EntrySignature "G16" "entry_signature" Both
        "The device's TPM key signed the entry for this round.";
    Certificate "G17" "certificate" Both
        "The entry's certificate is this fleet's, for this device, within its dates, and names this X25519 identity.";
    Revoked "G18" "revoked" Both
        "The device is not on the authority's status list.";
    StatusList "G19" "status_list" Both
        "The authority's status list is signed, fresh, and no older than the last one seen.";
    Parameters "G20" "parameters" Both
        "There are a graph, a threshold and a quorum that keep the task's promises for this roster.";
    TooFewHonest "G21" "too_few_honest" Device
        "Enough of the fewest contributors are honest for the device's own floor.";
    ForeignShare "G22" "foreign_share" Device
        "Each ciphertext is from a neighbour, at most one from each, under its dealer's signature.";
    SharersSelf "G23" "sharers_self" Device
        "The set that shared includes this device.";
    SharersSmall "G24" "sharers_small" Device
        "Enough devices shared, and enough of them are neighbours.";
    SharersMismatch "G25" "sharers_mismatch" Device
        "Each neighbour in the set that shared has sent this device a ciphertext.";
    SharesLow "G26" "shares_low" Device
        "At least t ciphertexts opened to shares that match their commitments.";
    Norm "G27" "norm" Device
        "The update is finite, of the task's length, and inside the clip after rounding.";
    OnceCounter "G28" "once_counter" Device
        "The TPM counter has the value that this device's memory expects.";
    Budget "G29" "budget" Device
        "The device's privacy ledger can pay for the round.";
    Deadline "G30" "deadline" Device
        "The step completes before the device's own deadline.";
    Sets "G31" "sets" Device
        "The survivors and the lost are disjoint, are together exactly the set that shared, and the device survives.";
    SurvivorsSmall "G32" "survivors_small" Device
        "At least A_min devices survive.";
    NeighboursFew "G33" "neighbours_few" Device
        "At least t of the device's neighbours survive.";
    Window "G34" "window" Device
        "Each window of k/2 places of the ring holds at least w_min survivors.";
    NeighbourView "G35" "neighbour_view" Device
        "Each surviving neighbour signed the same set that shared.";
    Quorum "G36" "quorum" Device
        "At least Q distinct survivors signed exactly the sets that this device signed.";
    NotInRoster "G37" "not_in_roster" Aggregator
        "A message after the first is from a device of the roster that completed the step before.";
    Late "G38" "late" Aggregator
        "A message comes before its step closes.";
    DifferentResend "G39" "different_resend" Aggregator
        "A message sent again is the same, byte for byte.";
    EntryForeign "G40" "entry_foreign" Aggregator
        "An entry is for the device that sent it.";
    DealShape "G41" "deal_shape" Aggregator
        "A dealer sends one ciphertext for each neighbour and signs them.";
    AckShape "G42" "ack_shape" Aggregator
        "An acknowledgement has one bit for each neighbour.";
    MaskedSignature "G43" "masked_signature" Aggregator
        "The signature with a masked input is over the set that shared and the root of its chunks.";
    MaskedRoot "G44" "masked_root" Aggregator
        "The chunks received hash to the root that was signed.";
    AliveSignature "G45" "alive_signature" Aggregator
        "The signature on the survivors is over the sets that were shown.";
    RevealShape "G46" "reveal_shape" Aggregator
        "An answer holds shares of neighbours only, of the kind that the agreed sets call for.";
    WrongShare "G47" "wrong_share" Aggregator
        "A revealed share matches the dealer's commitment.";
    WrongDealer "G48" "wrong_dealer" Aggregator
        "Shares that match their commitments rebuild the secret that the dealer committed to.";
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_names_are_distinct_codes() {
        for (i, guard) in Guard::ALL.iter().enumerate() {
            assert_eq!(guard.id(), format!("G{:02}", i + 1));
            let code = guard.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(code, "{guard}");
            assert!(guard.explanation().ends_with('.'), "{guard}");
            assert!(Guard::ALL[..i].iter().all(|other| other.name() != guard.name()), "{guard}");
        }
    }
}
