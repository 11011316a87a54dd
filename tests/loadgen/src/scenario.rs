//! The rounds of each scenario.

use clap::ValueEnum;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealsum_daemon::{Failure, codes};

use crate::conduct::{After, Conduct};
use crate::crowd::Part;
use crate::expected::{Expected, fatal, liars, of_lie, of_losses, survives};
use crate::lies::Lie;
use crate::task::{Size, Terms};
use crate::vector::Vector;

/// What happens in the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Everybody is honest and stays
    Plain,
    /// Devices vanish, at every step in turn: one, as many as the round survives, one more
    Dropouts,
    /// One kind of lying device in each round
    Liars,
    /// One round in which a tenth of the devices is lost before it uploads
    Scale,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Plain => "plain",
            Scenario::Dropouts => "dropouts",
            Scenario::Liars => "liars",
            Scenario::Scale => "scale",
        }
    }
}

/// One round to run.
#[derive(Clone, Debug)]
pub struct Case {
    /// From 1.
    pub number: usize,
    /// What happens in it.
    pub what: String,
    /// Its task.
    pub terms: Terms,
    /// What each device does.
    pub parts: Vec<Part>,
    /// What must come of it.
    pub expected: Expected,
}

/// What can happen in a round.
#[derive(Clone, Copy)]
enum Event {
    Nothing,
    Losses(After, usize),
    Lies(Lie, usize),
}

/// The rounds of a scenario: `rounds` of them if that is named, else each of its kinds once. All
/// follows from the seed.
///
/// # Errors
/// `usage` when there is no round of this size.
pub fn cases(
    scenario: Scenario,
    size: Size,
    rounds: Option<usize>,
    seed: u64,
) -> Result<Vec<Case>, Failure> {
    let events = events(scenario, size)?;
    let count = rounds.unwrap_or(events.len());
    let events = events.iter().cycle().take(count);
    events.enumerate().map(|(index, event)| case(index + 1, *event, size, seed)).collect()
}

fn parameters(size: Size) -> Result<sealsum_protocol::parameters::Parameters, Failure> {
    size.parameters(size.devices).map_err(|error| {
        Failure::new(codes::USAGE, format!("--devices: {error}"), "another number of devices")
    })
}

fn events(scenario: Scenario, size: Size) -> Result<Vec<Event>, Failure> {
    let (parameters, fewest) = (parameters(size)?, size.min_contributors());
    Ok(match scenario {
        Scenario::Plain => vec![Event::Nothing],
        Scenario::Dropouts => {
            let counts = |after| {
                let most = survives(&parameters, fewest, after);
                let mut counts = vec![1, most, fatal(&parameters, fewest, after)];
                counts.dedup();
                counts.into_iter().map(move |count| Event::Losses(after, count))
            };
            After::ALL.into_iter().flat_map(counts).collect()
        }
        Scenario::Liars => {
            let lie = |lie| Event::Lies(lie, liars(&parameters, lie));
            Lie::ALL.into_iter().map(lie).collect()
        }
        Scenario::Scale => vec![Event::Losses(After::Acknowledging, size.devices / 10)],
    })
}

fn case(number: usize, event: Event, size: Size, seed: u64) -> Result<Case, Failure> {
    let mut rng = rng(seed, number);
    let (parameters, fewest) = (parameters(size)?, size.min_contributors());
    let mut conducts = vec![Conduct::Honest; size.devices];
    let mut choose = |count: usize, conduct| {
        let chosen = chosen(&mut rng, size.devices, count);
        chosen.iter().for_each(|index| conducts[*index] = conduct);
        chosen
    };
    let mut terms = size.usual_terms();
    let (what, expected) = match event {
        Event::Nothing => ("nobody lost".to_owned(), Expected::sum_without(size.devices, &[])),
        Event::Losses(after, count) => {
            let lost = choose(count, Conduct::Vanishes(after));
            terms = terms_of_losses(size, after, count);
            let what = format!("{count} of {} lost {}", size.devices, after.describe());
            (what, of_losses(&parameters, fewest, after, &lost))
        }
        Event::Lies(lie, count) => {
            let liars = choose(count, Conduct::Lies(lie));
            terms.start_when -= usize::from(lie == Lie::EntrySignature);
            terms.short_check = lie == Lie::Silence;
            let what = format!("{} by {count} of {}", lie.describe(), size.devices);
            (what, of_lie(size.devices, lie, &liars))
        }
    };
    let part = |conduct| Part { conduct, vector: Vector::draw(&mut rng, size.coordinates) };
    let parts = conducts.into_iter().map(part).collect();
    Ok(Case { number, what, terms, parts, expected })
}

/// The roster waits for those who will enter, where they are enough for a round.
fn terms_of_losses(size: Size, after: After, lost: usize) -> Terms {
    let usual = size.usual_terms();
    match size.devices - lost {
        left if after == After::Hearing && left >= size.min_contributors() => {
            Terms { start_when: left, ..usual }
        }
        _ => Terms { short_entry: after == After::Hearing, ..usual },
    }
}

fn rng(seed: u64, number: usize) -> ChaCha20Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    ChaCha20Rng::from_seed(bytes)
}

/// `count` of `devices`, in ascending order.
fn chosen(rng: &mut ChaCha20Rng, devices: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..devices).collect();
    for place in 0..count.min(devices) {
        let left = (devices - place) as u64;
        all.swap(place, place + (rng.next_u64() % left) as usize);
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use super::*;
    use crate::expected::End;

    const TWELVE: Size = Size { devices: 12, coordinates: 5 };

    #[test]
    fn losses_come_after_every_step_survived_and_not() {
        let cases = cases(Scenario::Dropouts, TWELVE, None, 1).unwrap();
        for after in After::ALL {
            let ends: Vec<bool> = cases
                .iter()
                .filter(|case| case.what.contains(after.describe()))
                .map(|case| matches!(case.expected.end, End::Sum { .. }))
                .collect();
            assert_eq!(ends, [true, true, false], "{after:?}");
        }
    }

    #[test]
    fn every_lie_is_told_in_a_round_of_its_own() {
        let cases = cases(Scenario::Liars, TWELVE, None, 1).unwrap();
        for (case, lie) in cases.iter().zip(Lie::ALL) {
            let liars = case.parts.iter().filter(|part| part.conduct == Conduct::Lies(lie));
            assert!(liars.count() >= 1, "{}", case.what);
        }
        assert_eq!(cases.len(), Lie::ALL.len());
    }

    #[test]
    fn one_seed_gives_one_set_of_rounds_and_rounds_go_on_past_the_kinds() {
        let vectors = |seed, rounds| {
            let cases = cases(Scenario::Plain, TWELVE, Some(rounds), seed).unwrap();
            cases.iter().map(|case| case.parts[0].vector.values()).collect::<Vec<_>>()
        };
        assert_eq!(vectors(1, 3), vectors(1, 3));
        assert_ne!(vectors(1, 1), vectors(2, 1));
        let three = vectors(1, 3);
        assert_eq!(three.len(), 3);
        assert_ne!(three[0], three[1]);
    }
}
