//! The claims, in the order in which they are checked.

mod dropouts;
mod enrolment;
mod leftovers;
mod masking;
mod refusals;
mod revocation;
mod rounds;
mod sums;
mod training;

use crate::fleet::Fleet;
use crate::report::Report;
use crate::tasks;

pub(crate) use leftovers::nothing_left;

/// Runs all checks that need the fleet.
pub(crate) fn run_all(fleet: &mut Fleet, report: &mut Report) {
    report.check("enrol-all", |report| enrolment::everyone(fleet, report));
    report.check("foreign-ek-refused", |_| enrolment::foreign_ek(fleet));
    report.check("clone-refused", |_| enrolment::clone(fleet));
    report.check("sum-exact", |_| sums::exact(fleet));
    report.check("masked-uniform", |_| masking::masked(fleet));
    report.check("plain-not-uniform", |_| masking::plain());
    report.check("floor-refused", |_| refusals::below_floor(fleet));
    report.check("too-few-refused", |_| refusals::too_few(fleet));
    let mut last_round = None;
    report.check("dp-accuracy", |report| training::accuracy(fleet, report, &mut last_round));
    report.check("epsilon-reported", |_| training::epsilon(fleet, last_round.as_ref()));
    report.check("dropouts-exact", |report| dropouts::exact(fleet, report));
    report.check("revoked-out", |_| revocation::out(fleet));
}

/// All devices, by number.
fn everyone() -> Vec<usize> {
    (0..tasks::COHORT).collect()
}
