//! What fails, and how often: drawn for each world, so that each fault is met with and without
//! each other (swarm testing, Groce et al., ISSTA 2012).

use serde::{Deserialize, Serialize};

use super::Draw;

/// How often things fail, per mille of the occasions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// A request never arrives.
    pub request_lost: u32,
    /// It arrives, and its answer does not.
    pub answer_lost: u32,
    /// A message takes up to [`Faults::LONGEST_DELAY_MS`], and is overtaken by others.
    pub delayed: u32,
    /// A request arrives twice.
    pub duplicated: u32,
    /// A device has no network for a while.
    pub disconnected: u32,
    /// A device restarts just before it says something.
    pub device_crash: u32,
    /// The aggregator restarts around a message.
    pub aggregator_crash: u32,
    /// A device is revoked around a message of it.
    pub revoked: u32,
    /// The wall clock of a device is set, by up to days.
    pub clock_step: u32,
}

impl Faults {
    /// The longest that a message is delayed.
    pub const LONGEST_DELAY_MS: usize = 8_000;
    /// The longest that a device has no network, or is down.
    pub const LONGEST_ABSENCE_MS: usize = 12_000;

    /// The name of each fault, as it is counted.
    pub const NAMES: [&str; 9] = [
        "request_lost",
        "answer_lost",
        "delayed",
        "duplicated",
        "disconnected",
        "device_crash",
        "aggregator_crash",
        "revoked",
        "clock_step",
    ];

    pub(super) fn draw(draw: &mut Draw) -> Self {
        let mut rate = |rates: &[u32]| if draw.chance(500) { draw.of(rates) } else { 0 };
        Self {
            request_lost: rate(&[5, 50, 200]),
            answer_lost: rate(&[5, 50, 200]),
            delayed: rate(&[10, 100, 400]),
            duplicated: rate(&[10, 100, 400]),
            disconnected: rate(&[2, 5, 20]),
            device_crash: rate(&[5, 20, 60]),
            aggregator_crash: rate(&[1, 3, 10]),
            revoked: rate(&[1, 3, 8]),
            clock_step: rate(&[2, 5, 20]),
        }
    }
}
