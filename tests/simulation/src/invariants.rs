//! What must hold in every history, each under a name, one to a file.
//!
//! | id | what must hold |
//! |---|---|
//! | I1 | a published sum is exactly the sum of exactly the reported contributors |
//! | I2 | a round has at most one result, and what was written down of it never changes |
//! | I3 | of no honest device are both secrets in reach, nor the self-mask secret of one that is in no agreed set of survivors |
//! | I4 | an honest device reveals only when a quorum signed exactly what it signed, for enough survivors |
//! | I5 | an honest device says each thing once a round, and nothing after it refused |
//! | I6 | everybody is done by the last deadline |
//! | I7 | what can be computed of honest inputs is the sum over all honest survivors, or nothing |
//! | I8 | with no more losses than tolerated a round finishes; otherwise it ends by a name |
//! | I9 | no device refuses what an honest aggregator says |
//!
//! I1 and I2 are about an honest aggregator, I3 to I5 and I7 about any.

mod i1_exact_sum;
mod i2_one_result;
mod i3_one_secret;
mod i4_quorum;
mod i5_once;
mod i6_ends;
mod i7_total_or_nothing;
mod i8_finishes;
mod i9_no_false_refusal;
mod rank;

use std::fmt;

use crate::ledger::Ledger;
use crate::world::World;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// How far a ledger was checked.
#[derive(Default)]
pub struct Checked {
    version: u64,
}

type Check = fn(&Ledger, &World) -> Result<(), String>;

/// Checked after every event.
const ALWAYS: &[(&str, Check)] = &[
    ("I1", i1_exact_sum::check),
    ("I2", i2_one_result::check),
    ("I3", i3_one_secret::check),
    ("I4", i4_quorum::check),
    ("I5", i5_once::check),
    ("I6", i6_ends::check),
    ("I8", i8_finishes::check),
    ("I9", i9_no_false_refusal::check),
];

/// Checked at the end of a history.
const AT_THE_END: &[(&str, Check)] = &[("I7", i7_total_or_nothing::check)];

/// The first invariant that does not hold after an event.
pub fn check(ledger: &Ledger, world: &World, checked: &mut Checked) -> Option<Violation> {
    if checked.version == ledger.version {
        return None;
    }
    checked.version = ledger.version;
    first(ALWAYS, ledger, world)
}

/// The first invariant that does not hold at the end.
pub fn check_end(ledger: &Ledger, world: &World) -> Option<Violation> {
    first(AT_THE_END, ledger, world)
}

fn first(checks: &[(&'static str, Check)], ledger: &Ledger, world: &World) -> Option<Violation> {
    checks.iter().find_map(|(invariant, check)| {
        let detail = check(ledger, world).err()?;
        Some(Violation { invariant, detail })
    })
}
