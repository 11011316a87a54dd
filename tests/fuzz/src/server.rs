//! Sequences of steps against the aggregator's state machine.

use sealsum_protocol::error::AbortCode;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::server::Event;
use sealsum_test_fleet::{Said, status_list};

use crate::fleet::{Fleet, SIZE};
use crate::input::Input;
use crate::{Target, named};

/// The one machine.
pub const TARGETS: &[Target] = &[named("server-steps", steps)];

/// Most steps of a sequence; a whole round takes about thirty.
const MOST: usize = 64;

fn steps(bytes: &[u8]) {
    let (mut input, mut fleet) = (Input::new(bytes), Fleet::new());
    let mut revoked = Vec::new();
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        step(&mut fleet, &mut input, &mut revoked);
    }
}

fn step(fleet: &mut Fleet, input: &mut Input<'_>, revoked: &mut Vec<DeviceId>) {
    let (what, device) = (input.below(16), input.below(SIZE));
    match what {
        0 => (0..SIZE).for_each(|turn| fleet.behave((device + turn) % SIZE)),
        1 => fleet.behave(device),
        2 => fleet.listen(device),
        3 => {
            fleet.send_next(device);
        }
        4 => again(fleet, device, input.below(SIZE), input.byte()),
        5 => bent(fleet, device, input),
        6 => fleet.deadline(),
        7 => {
            fleet.now.steady_ms += 100 * u64::from(input.byte());
            fleet.happens(Event::Tick);
        }
        8 => fleet.happens(Event::Gone(fleet.id(device))),
        9 => fleet.happens(Event::Back(fleet.id(device))),
        10 => fleet.happens(Event::Revoked(fleet.id(device))),
        11 => {
            revoked.push(fleet.id(device));
            fleet.happens(Event::StatusList(status_list(input.byte().into(), revoked)));
        }
        12 => fleet.recovered(Vec::new()),
        13 => fleet.recovered(vec![device]),
        14 => fleet.devices[device].lose(),
        _ => {
            let message = "the operator".to_owned();
            fleet.happens(Event::End { code: AbortCode::Cancelled, message });
        }
    }
}

/// What one device said at any time, sent by any.
fn again(fleet: &mut Fleet, device: usize, from: usize, which: u8) {
    let said = &fleet.said[device].0;
    let said = said[usize::from(which) % said.len()].clone();
    let _ = fleet.send(from, &said);
}

/// The newest of what a device said, with a byte changed.
fn bent(fleet: &mut Fleet, device: usize, input: &mut Input<'_>) {
    let (low, high, to) = (input.byte(), input.byte(), input.byte());
    let Some(mut said) = fleet.said[device].0.last().cloned() else { return };
    let bytes = match &mut said {
        Said::Advertise(bytes)
        | Said::Shares(bytes)
        | Said::Ack(bytes)
        | Said::Chunk { bytes, .. }
        | Said::Masked(bytes)
        | Said::Consistency(bytes)
        | Said::Reveal(bytes) => bytes,
    };
    let place = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    bytes[place] ^= to;
    let _ = fleet.send(device, &said);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealsum_protocol::server::State;

    fn after(bytes: &[u8]) -> State {
        let (mut input, mut fleet) = (Input::new(bytes), Fleet::new());
        while !input.is_empty() {
            step(&mut fleet, &mut input, &mut Vec::new());
        }
        fleet.round.report().state
    }

    /// The sequences reach what they are to try.
    #[test]
    fn a_round_in_which_all_behave_ends_with_its_sum() {
        assert!(matches!(after(include_bytes!("../corpus/server-steps/whole")), State::Finished));
    }

    #[test]
    fn a_round_ends_with_its_sum_without_one_device() {
        assert!(matches!(after(include_bytes!("../corpus/server-steps/lost")), State::Finished));
    }
}
