//! What a lying aggregator does: one lie to a file.

mod foreign_ciphertexts;
mod hasty_quorum;
mod invented_survivor;
mod keeps_late_input;
mod malformed;
mod omits;
mod replays;
mod restores_state;
mod runs_again;
mod second_reveal;
mod stalls;
mod story;
mod swaps;
mod target;
mod two_announcements;
mod two_rosters;
mod two_sharers;
mod two_survivors;

pub use story::Story;

use std::collections::BTreeMap;

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::Said;

use super::known::Known;
use super::liar::Scene;

/// A question of a device.
pub struct Told {
    /// The device.
    pub device: usize,
    /// The round.
    pub round: u64,
    /// What it asked for.
    pub stage: Stage,
}

/// A lie by name.
pub struct NamedLie {
    /// Its name.
    pub name: &'static str,
    /// Makes it.
    pub new: fn() -> Box<dyn AggregatorLie>,
}

/// Every lie of an aggregator.
pub const AGGREGATOR: &[NamedLie] = &[
    NamedLie { name: "foreign_ciphertexts", new: foreign_ciphertexts::new },
    NamedLie { name: "hasty_quorum", new: hasty_quorum::new },
    NamedLie { name: "invented_survivor", new: invented_survivor::new },
    NamedLie { name: "keeps_late_input", new: keeps_late_input::new },
    NamedLie { name: "malformed_answers", new: malformed::new },
    NamedLie { name: "omits", new: omits::new },
    NamedLie { name: "replays", new: replays::new },
    NamedLie { name: "restores_state", new: restores_state::new },
    NamedLie { name: "runs_again", new: runs_again::new },
    NamedLie { name: "second_reveal", new: second_reveal::new },
    NamedLie { name: "stalls", new: stalls::new },
    NamedLie { name: "swaps", new: swaps::new },
    NamedLie { name: "target", new: target::new },
    NamedLie { name: "two_announcements", new: two_announcements::new },
    NamedLie { name: "two_rosters", new: two_rosters::new },
    NamedLie { name: "two_sharers", new: two_sharers::new },
    NamedLie { name: "two_survivors", new: two_survivors::new },
];

/// The lie of a name.
pub fn find(name: &str) -> Option<&'static NamedLie> {
    AGGREGATOR.iter().find(|lie| lie.name == name)
}

/// What a lie may do; by default it does nothing. A method that says `true`, or gives something,
/// has told the lie.
pub trait AggregatorLie {
    /// The number of the next round, if not `next`.
    fn numbers(&mut self, _: &mut Scene<'_>, _next: u64) -> Option<u64> {
        None
    }

    /// A round has opened.
    fn begins(&mut self, _: &mut Scene<'_>) {}

    /// Whether a device hears of the round at all.
    fn invites(&mut self, _: &mut Scene<'_>, _device: usize) -> bool {
        true
    }

    /// Alters an announcement.
    fn announces(&mut self, _: &mut Scene<'_>, _device: usize, _bytes: &mut Vec<u8>) -> bool {
        false
    }

    /// Whether the honest part hears what a device said.
    fn passes_on(&mut self, _: &mut Scene<'_>, _from: usize, _said: &mut Said) -> bool {
        true
    }

    /// Whether what is told follows from a [`Story`] and not from the honest part.
    fn tells_stories(&self) -> bool {
        false
    }

    /// Whether a stage is told before the honest part would tell it.
    fn hurries(&self, _: Stage) -> bool {
        false
    }

    /// Rewrites the story for one device.
    fn rewrites(
        &mut self,
        _: &mut Scene<'_>,
        _known: &Known,
        _cohort: &Cohort,
        _asked: &Told,
        _story: &mut Story,
    ) -> bool {
        false
    }

    /// Whether a device gets no answer.
    fn stalls(&mut self, _: &mut Scene<'_>, _asked: &Told) -> bool {
        false
    }

    /// Alters the bytes of an answer.
    fn alters(
        &mut self,
        _: &mut Scene<'_>,
        _rounds: &BTreeMap<u64, Known>,
        _asked: &Told,
        _bytes: &mut Vec<u8>,
    ) -> bool {
        false
    }
}
