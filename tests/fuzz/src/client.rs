//! Sequences of messages against the device's state machine: device 0 is in a round with an
//! aggregator that shows it anything, and with a corrupt device that signs anything.

use std::collections::BTreeSet;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::messages::{
    InboundShares, Quorum, QuorumSignature, Reveal, RevealedSecret, Roster, Sharers, Survivors,
};
use sealsum_protocol::roster::{Entry, roster_root};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::transcript::{SharedTranscript, Transcript};
use sealsum_test_fleet::{Said, entry_rng};

use crate::fleet::{Fleet, SIZE, quorum};
use crate::input::Input;
use crate::{Target, named};

/// The one machine.
pub const TARGETS: &[Target] = &[named("client-steps", steps)];

/// The device under attack, and the one that helps to attack it.
const OWN: usize = 0;
const CORRUPT: usize = 4;

const MOST: usize = 32;
const STAGES: [Stage; 5] =
    [Stage::Roster, Stage::InboundShares, Stage::Sharers, Stage::Survivors, Stage::Quorum];

fn steps(bytes: &[u8]) {
    let (mut input, mut attack) = (Input::new(bytes), Attack::new());
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        attack.step(&mut input);
    }
}

/// The attack, and all that the device took and said.
struct Attack {
    fleet: Fleet,
    heard: Vec<(Stage, Vec<u8>)>,
    said: Vec<Said>,
    refused: bool,
}

impl Attack {
    fn new() -> Self {
        let mut fleet = Fleet::new();
        for index in 0..SIZE {
            fleet.send_next(index);
        }
        Self { fleet, heard: Vec::new(), said: Vec::new(), refused: false }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (what, argument) = (input.below(8), input.byte());
        match what {
            // The others go on, and perhaps without those that the aggregator left out.
            0 => (1..SIZE).for_each(|index| self.fleet.behave(index)),
            1 => self.fleet.deadline(),
            2 => self.fleet.now.steady_ms += 1000 * u64::from(argument),
            3 => self.show_instead(usize::from(argument), input),
            4 => self.show(|stage, bytes| bent(stage, bytes, argument)),
            5 => {
                let (low, to) = (input.byte(), input.byte());
                self.show(|_, mut bytes| {
                    let place = usize::from(u16::from_le_bytes([low, argument])) % bytes.len();
                    bytes[place] ^= to;
                    bytes
                });
            }
            6 => self.show(|_, bytes| bytes),
            _ => {
                (1..SIZE).for_each(|index| self.fleet.behave(index));
                self.show(|_, bytes| bytes);
            }
        }
    }

    /// Shows what the device waits for, if there is such a thing yet, as `lie` bends it.
    fn show(&mut self, lie: impl FnOnce(Stage, Vec<u8>) -> Vec<u8>) {
        let Some(stage) = self.fleet.devices[OWN].awaits() else {
            return self.show_to_the_deaf();
        };
        let Some(bytes) = self.fleet.shown(OWN, stage) else { return };
        let context = self.transcript();
        let bytes = lie(stage, bytes.to_vec());
        let bytes = if stage == Stage::Quorum { forged(context, bytes) } else { bytes };
        self.hear(stage, &bytes);
    }

    /// Shows any stage as any stage, of any device.
    fn show_instead(&mut self, which: usize, input: &mut Input<'_>) {
        let (as_stage, of) = (STAGES[which % STAGES.len()], STAGES[input.below(STAGES.len())]);
        let Some(bytes) = self.fleet.shown(input.below(SIZE), of) else { return };
        self.hear(as_stage, &bytes);
    }

    /// A device that is out or done says nothing to anything.
    fn show_to_the_deaf(&mut self) {
        for stage in STAGES {
            let Some(bytes) = self.fleet.shown(OWN, stage) else { continue };
            self.hear(stage, &bytes);
        }
    }

    fn hear(&mut self, stage: Stage, bytes: &[u8]) {
        let awaited = self.fleet.devices[OWN].awaits() == Some(stage);
        let outcome = self.fleet.devices[OWN].hear(stage, bytes, self.fleet.now);
        let said = match outcome {
            Ok(said) if awaited => {
                self.heard.push((stage, bytes.to_vec()));
                said
            }
            Ok(said) => {
                assert!(said.is_empty(), "an answer to what was not asked for");
                said
            }
            Err(_) => {
                self.refused = true;
                Vec::new()
            }
        };
        assert!(!self.refused || said.is_empty(), "something leaves after a refusal");
        for said in said {
            self.check(&said);
            self.said.push(said.clone());
            let _ = self.fleet.send(OWN, &said);
        }
        self.check_counter();
    }

    /// Of each kind at most one, and in order.
    fn check(&self, said: &Said) {
        let after = |other: &Said| order(other) < order(said);
        assert!(self.said.iter().all(after), "said twice, or after what follows it");
        match said {
            Said::Masked(_) => {
                let sharers = self.took::<Sharers>(Stage::Sharers);
                assert!(sharers.shared.contains(OWN), "masked for a set without itself");
            }
            Said::Consistency(_) => self.check_sets(),
            Said::Reveal(bytes) => self.check_reveal(&Reveal::from_bytes(bytes).unwrap()),
            Said::Advertise(_) | Said::Shares(_) | Said::Ack(_) | Said::Chunk { .. } => {}
        }
    }

    fn check_sets(&self) {
        let (sets, sharers) =
            (self.took::<Survivors>(Stage::Survivors), self.took::<Sharers>(Stage::Sharers));
        assert!(sets.survivors.is_disjoint(&sets.lost) && sets.survivors.contains(OWN));
        assert_eq!(sets.survivors.union(&sets.lost), sharers.shared, "not all that shared");
        assert!(sets.survivors.count() >= quorum(sharers.shared.len()), "too few survivors");
    }

    /// One share of each dealer, of the kind that the signed sets call for, and only against a
    /// quorum, which is counted here again.
    fn check_reveal(&self, reveal: &Reveal) {
        let sets = self.took::<Survivors>(Stage::Survivors);
        let dealers: BTreeSet<u16> = reveal.shares.iter().map(|share| share.dealer).collect();
        assert_eq!(dealers.len(), reveal.shares.len(), "two shares of one dealer");
        for share in &reveal.shares {
            let dealer = usize::from(share.dealer);
            match share.secret {
                RevealedSecret::SelfMask(_) => assert!(sets.survivors.contains(dealer)),
                RevealedSecret::MaskKey(_) => assert!(sets.lost.contains(dealer)),
            }
        }
        let string = self.transcript().unwrap().alive_string(&sets.survivors, &sets.lost);
        let entries = self.took::<Roster>(Stage::Roster).entries;
        let valid = self.took::<Quorum>(Stage::Quorum).signatures.into_iter().filter(|signed| {
            let device = usize::from(signed.device);
            let key = entries.get(device).map(|signed| signed.entry.signing_key);
            sets.survivors.contains(device)
                && key.is_some_and(|key| key.verifies(&string, &signed.signature))
        });
        assert!(valid.count() >= quorum(entries.len()), "revealed without a quorum");
    }

    /// Masking, signing and revealing each moved the counter once; nothing else did.
    fn check_counter(&self) {
        let spent =
            |said: &&Said| matches!(said, Said::Masked(_) | Said::Consistency(_) | Said::Reveal(_));
        let spent = self.said.iter().filter(spent).count() as u64;
        let counter = self.fleet.devices[OWN].device.counter.0.get();
        assert_eq!(counter, spent, "a step that the counter did not count");
    }

    /// What the device took of a stage.
    fn took<M: Message>(&self, stage: Stage) -> M {
        let (_, bytes) = self.heard.iter().find(|(heard, _)| *heard == stage).expect("was heard");
        M::from_bytes(bytes).expect("was decoded")
    }

    /// What the device signs under, once it took a roster and a set that shared.
    fn transcript(&self) -> Option<SharedTranscript> {
        self.heard.iter().find(|(stage, _)| *stage == Stage::Sharers)?;
        let roster = self.took::<Roster>(Stage::Roster);
        let entries: Vec<Entry> = roster.entries.into_iter().map(|signed| signed.entry).collect();
        let params_hash = self.fleet.round.spec().params_hash();
        let transcript = Transcript { params_hash, roster_root: roster_root(&entries) };
        Some(transcript.with_sharers(&self.took::<Sharers>(Stage::Sharers).shared))
    }
}

/// When in a round a thing is said; chunks one after another.
fn order(said: &Said) -> (usize, usize) {
    match said {
        Said::Advertise(_) => (0, 0),
        Said::Shares(_) => (1, 0),
        Said::Ack(_) => (2, 0),
        Said::Chunk { index, .. } => (3, *index),
        Said::Masked(_) => (4, 0),
        Said::Consistency(_) => (5, 0),
        Said::Reveal(_) => (6, 0),
    }
}

/// Another message of the same kind: something left out, doubled, swapped or moved.
fn bent(stage: Stage, bytes: Vec<u8>, how: u8) -> Vec<u8> {
    match stage {
        Stage::Roster => {
            let mut roster = Roster::from_bytes(&bytes).unwrap();
            bend(&mut roster.entries, how);
            roster.to_bytes()
        }
        Stage::InboundShares => {
            let mut inbound = InboundShares::from_bytes(&bytes).unwrap();
            bend(&mut inbound.shares, how);
            if how >= 128 {
                inbound.shares.sort_by_key(|share| share.dealer);
            }
            inbound.to_bytes()
        }
        Stage::Sharers => {
            let sharers = Sharers::from_bytes(&bytes).unwrap();
            Sharers { shared: flipped(&sharers.shared, how) }.to_bytes()
        }
        Stage::Survivors => {
            let mut shown = Survivors::from_bytes(&bytes).unwrap();
            // Some of A to D, and the signatures with them.
            let moved = Bitmap::of(SIZE, (0..SIZE).filter(|place| how >> place & 1 == 1));
            let survivors = shown.survivors.without(&moved);
            if how & 0x40 == 0 {
                shown.lost = shown.lost.union(&shown.survivors.without(&survivors));
            }
            if how & 0x80 == 0 {
                shown.views.retain(|view| survivors.contains(view.device.into()));
            }
            shown.survivors = survivors;
            shown.to_bytes()
        }
        Stage::Quorum => {
            let mut quorum = Quorum::from_bytes(&bytes).unwrap();
            bend(&mut quorum.signatures, how);
            quorum.to_bytes()
        }
    }
}

fn bend<T: Clone>(list: &mut Vec<T>, how: u8) {
    if list.is_empty() {
        return;
    }
    let (at, other) = (usize::from(how >> 2) % list.len(), usize::from(how >> 4) % list.len());
    match how & 3 {
        0 => drop(list.remove(at)),
        1 => list.insert(at, list[other].clone()),
        2 => list.swap(at, other),
        _ => list.truncate(at),
    }
}

fn flipped(set: &Bitmap, how: u8) -> Bitmap {
    Bitmap::of(SIZE, (0..SIZE).filter(|place| set.contains(*place) != (how >> place & 1 == 1)))
}

/// The corrupt device's signature is added over sets of its own, under its own name.
fn forged(transcript: Option<SharedTranscript>, bytes: Vec<u8>) -> Vec<u8> {
    let (Some(transcript), Ok(mut quorum)) = (transcript, Quorum::from_bytes(&bytes)) else {
        return bytes;
    };
    if quorum.signatures.len() >= SIZE - 1 {
        return bytes;
    }
    let mut rng = entry_rng(CORRUPT);
    let _ = (SecretScalar::random(&mut rng), ExchangeKey::draw(&mut rng));
    let all = Bitmap::of(SIZE, 0..SIZE);
    let string = transcript.alive_string(&all.without(&Bitmap::of(SIZE, [1])), &all);
    let signature = SecretKey::draw(&mut rng).sign(&string);
    quorum.signatures.retain(|signed| usize::from(signed.device) != CORRUPT);
    quorum.signatures.push(QuorumSignature { device: CORRUPT as u16, signature });
    quorum.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bytes: &[u8]) -> Attack {
        let (mut input, mut attack) = (Input::new(bytes), Attack::new());
        while !input.is_empty() {
            attack.step(&mut input);
        }
        attack
    }

    /// The sequences reach what they are to try.
    #[test]
    fn a_device_that_is_shown_the_truth_reveals() {
        for sequence in [
            &include_bytes!("../corpus/client-steps/whole")[..],
            include_bytes!("../corpus/client-steps/lost"),
        ] {
            let attack = after(sequence);
            assert!(attack.fleet.devices[OWN].is_done(), "after {:?}", attack.said.last());
            assert!(!attack.refused);
        }
    }
}
