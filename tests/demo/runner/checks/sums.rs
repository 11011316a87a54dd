//! The sum is the sum.

use crate::checks::{everyone, rounds};
use crate::fleet::Fleet;
use crate::report::Finding;
use crate::tasks::EXACT;

/// All devices put in distinct values; the result is their sum, compared as integers.
pub(crate) fn exact(fleet: &Fleet) -> Finding {
    EXACT.publish(fleet)?;
    rounds::submit(fleet, &EXACT, &everyone())?;
    let round = rounds::start(fleet, &EXACT)?;
    let contributors = rounds::finish_exactly(fleet, &EXACT, &round)?;
    if contributors != everyone() {
        return Err(format!("only {contributors:?} contributed").into());
    }
    Ok(format!(
        "{} coordinates of {} devices, every one exact",
        EXACT.coordinates,
        contributors.len()
    ))
}
