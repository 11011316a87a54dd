//! What the server holds of one device looks like noise; what it would hold without masks does not.

use std::path::PathBuf;

use sealsum_demo::words;

use crate::encoding::{chi_square_deviations, integers, unmasked_wire};
use crate::fleet::Fleet;
use crate::report::Finding;
use crate::tasks::EXACT;

/// Uniform bytes exceed this many standard deviations about once in a million.
const LIMIT: f64 = 5.0;

/// The stored upload of device 0 in the exact round.
pub(crate) fn masked(fleet: &Fleet) -> Finding {
    let stored = std::fs::read(stored_upload(fleet)?)?;
    let expected = unmasked_wire(&integers(0, EXACT.coordinates))?.len();
    if stored.len() != expected {
        return Err(format!("{} bytes stored, not {expected}", stored.len()).into());
    }
    let deviations = chi_square_deviations(&stored);
    if deviations.abs() > LIMIT {
        return Err(format!("chi-square is {deviations:.1} deviations off uniform").into());
    }
    Ok(format!("{} stored bytes, chi-square {deviations:+.1} deviations off uniform", stored.len()))
}

/// The same test on the same vector without its masks.
pub(crate) fn plain() -> Finding {
    let deviations = chi_square_deviations(&unmasked_wire(&integers(0, EXACT.coordinates))?);
    if deviations.abs() <= LIMIT {
        return Err(format!("the test cannot tell: {deviations:+.1} deviations").into());
    }
    Ok(format!("the same vector unmasked is {deviations:+.0} deviations off: the test can tell"))
}

fn stored_upload(fleet: &Fleet) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let listed = fleet.aggregator(&words!["round", "list"])?;
    let rounds = listed["rounds"].as_array().ok_or("no list of rounds")?;
    let round = rounds.iter().find(|round| round["task"] == EXACT.name).ok_or("no exact round")?;
    let round = round["round"].as_str().ok_or("a round without an id")?;
    Ok(fleet.aggregator_dir().join("rounds").join(round).join("masked").join(fleet.id(0)))
}
