//! A revoked device is out.

use std::time::{Duration, Instant};

use sealsum_demo::words;

use crate::checks::{everyone, rounds};
use crate::fleet::Fleet;
use crate::report::Finding;
use crate::tasks::REVOCATION;

const STOLEN: usize = 3;
/// The design's promise for how long a revocation may take to reach everybody.
const REACHES_WITHIN: Duration = Duration::from_secs(60);

/// The next round runs without the revoked device, and its own agent says why.
pub(crate) fn out(fleet: &Fleet) -> Finding {
    REVOCATION.publish(fleet)?;
    fleet.authority_command(&words!["device", "revoke", fleet.id(STOLEN), "--reason", "stolen"])?;
    let seconds = wait_until_cut_off(fleet)?;
    let rest = fleet.others(&[STOLEN]);
    rounds::submit(fleet, &REVOCATION, &rest)?;
    let round = rounds::start(fleet, &REVOCATION)?;
    let contributors = rounds::finish_exactly(fleet, &REVOCATION, &round)?;
    if contributors != rest {
        return Err(format!("contributors are {contributors:?}").into());
    }
    Ok(format!(
        "cut off after {seconds:.0} s; the next round ran with the other {} of {}",
        rest.len(),
        everyone().len()
    ))
}

fn wait_until_cut_off(fleet: &Fleet) -> Result<f64, Box<dyn std::error::Error>> {
    let started = Instant::now();
    loop {
        match fleet.agent(STOLEN, &words!["status"]) {
            Err(refusal) if refusal.exit == Some(6) => return Ok(started.elapsed().as_secs_f64()),
            _ if started.elapsed() > REACHES_WITHIN => {
                return Err("the device still counts itself in after 60 s".into());
            }
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
