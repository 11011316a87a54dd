//! Five devices and an aggregator, for sequences of steps: whatever arrives in whatever order, and
//! what must hold of every round all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::{CodecError, Message};
use sealsum_protocol::error::Refusal;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::messages::{Quorum, Survivors};
use sealsum_protocol::server::{
    Event, Fetched, Incoming, Output, Record, Recovery, Round, Stage, Step,
};
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{
    Device, Marks, Registry, START, Said, WireDevice, entry_rng, policy, root_of, spec,
    status_list, task, units, update,
};

/// Devices of a sequence: one of them may be lost, and three signatures are not a quorum.
pub(crate) const SIZE: usize = 5;

/// Signatures that are a quorum of a roster of `n`, of whom one may be corrupt.
pub(crate) fn quorum(n: usize) -> usize {
    const CORRUPT: usize = 1;
    (n + CORRUPT) / 2 + 1
}

const COORDINATES: usize = 2;
const STAGES: [Stage; 5] =
    [Stage::Roster, Stage::InboundShares, Stage::Sharers, Stage::Survivors, Stage::Quorum];

/// A round and its devices.
pub(crate) struct Fleet {
    pub(crate) round: Round,
    pub(crate) devices: Vec<WireDevice>,
    /// All that each device ever said, and how much of it was sent.
    pub(crate) said: Vec<(Vec<Said>, usize)>,
    pub(crate) now: Now,
    pub(crate) recovery: Option<Recovery>,
    wake_at: u64,
    uploads: Vec<Vec<Vec<u8>>>,
    watch: Watch,
}

/// What was seen of a round, against which the rest of it is held.
#[derive(Default)]
struct Watch {
    persisted: Vec<Record>,
    published: BTreeSet<Stage>,
    shown: BTreeMap<(Stage, usize), Arc<[u8]>>,
    /// The chunks that came with each masked input that was taken.
    inputs: BTreeMap<usize, Vec<Vec<u8>>>,
    signed: BTreeSet<usize>,
    recovered: bool,
    over: bool,
}

impl Fleet {
    /// A round that no device has entered; each has its entry ready to send.
    pub(crate) fn new() -> Self {
        let task = task(SIZE, |fields| fields.coordinates = COORDINATES as u32);
        let spec = spec(task, 1);
        let registry = Registry::default();
        let list = status_list(1, &[]);
        let round = Round::open(spec.clone(), 0, Box::new(registry), list, START).unwrap();
        let enter = |index: usize| {
            let (device, marks) = (Device::new(index), &mut Marks::default());
            let update = update(index, COORDINATES);
            let rng = entry_rng(index);
            WireDevice::enter(device, spec.clone(), &policy(), marks, update, START, rng).unwrap()
        };
        let (devices, entries): (Vec<_>, Vec<_>) = (0..SIZE).map(enter).unzip();
        let mut fleet = Self {
            round,
            devices,
            said: entries.into_iter().map(|entry| (vec![entry], 0)).collect(),
            now: START,
            recovery: None,
            wake_at: 0,
            uploads: vec![Vec::new(); SIZE],
            watch: Watch::default(),
        };
        fleet.drain();
        fleet
    }

    pub(crate) fn id(&self, index: usize) -> DeviceId {
        self.devices[index].device.id
    }

    /// What the aggregator shows a device of a stage now.
    pub(crate) fn shown(&self, index: usize, stage: Stage) -> Option<Arc<[u8]>> {
        match self.round.fetch(self.id(index), stage) {
            Ok(Fetched::Ready(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The device asks for what it waits for, hears it, and keeps what it would say.
    pub(crate) fn listen(&mut self, index: usize) {
        let Some(stage) = self.devices[index].awaits() else { return };
        let Some(bytes) = self.shown(index, stage) else { return };
        if let Ok(said) = self.devices[index].hear(stage, &bytes, self.now) {
            self.said[index].0.extend(said);
        }
    }

    /// Sends the next thing that the device said.
    pub(crate) fn send_next(&mut self, index: usize) -> bool {
        let (said, sent) = &mut self.said[index];
        let Some(next) = said.get(*sent).cloned() else { return false };
        *sent += 1;
        let _ = self.send(index, &next);
        true
    }

    /// The device behaves as it should: sends all, hears, sends all.
    pub(crate) fn behave(&mut self, index: usize) {
        while self.send_next(index) {}
        self.listen(index);
        while self.send_next(index) {}
    }

    /// Takes these bytes as if they were said by the device that TLS says sent them.
    pub(crate) fn send(&mut self, from: usize, said: &Said) -> Result<(), Refusal> {
        let Ok(Some(message)) = self.incoming(from, said) else { return Ok(()) };
        let signs = matches!(message, Incoming::Consistency(_));
        let masks = matches!(message, Incoming::Masked { .. });
        let in_time = self.round.step();
        let taken = self.event(Event::Received { from: self.id(from), message });
        if taken.is_ok() && signs && in_time == Step::Check {
            self.watch.signed.insert(from);
        }
        if taken.is_ok() && masks && in_time == Step::Mask {
            self.watch.inputs.entry(from).or_insert_with(|| self.uploads[from].clone());
        }
        self.drain();
        taken
    }

    fn incoming(&mut self, from: usize, said: &Said) -> Result<Option<Incoming>, CodecError> {
        Ok(Some(match said {
            Said::Advertise(bytes) => Incoming::Advertise(Box::new(Message::from_bytes(bytes)?)),
            Said::Shares(bytes) => Incoming::Shares(Message::from_bytes(bytes)?),
            Said::Ack(bytes) => Incoming::Ack(Message::from_bytes(bytes)?),
            Said::Chunk { index, bytes } => {
                self.uploads[from].truncate(*index);
                self.uploads[from].push(bytes.clone());
                return Ok(None);
            }
            Said::Masked(bytes) => {
                let received_root = root_of(&self.uploads[from]);
                Incoming::Masked { message: Message::from_bytes(bytes)?, received_root }
            }
            Said::Consistency(bytes) => Incoming::Consistency(Message::from_bytes(bytes)?),
            Said::Reveal(bytes) => Incoming::Reveal(Message::from_bytes(bytes)?),
        }))
    }

    pub(crate) fn event(&mut self, event: Event) -> Result<(), Refusal> {
        let outcome = self.round.handle(self.now, event);
        for stage in STAGES.iter().filter(|stage| !self.watch.published.contains(stage)) {
            let shown = (0..SIZE).any(|index| self.shown(index, *stage).is_some());
            assert!(!shown, "{stage:?} is shown before it is published");
        }
        outcome
    }

    /// An event of the world, not of a device.
    pub(crate) fn happens(&mut self, event: Event) {
        let _ = self.event(event);
        self.drain();
    }

    /// The moment comes that the aggregator waits for.
    pub(crate) fn deadline(&mut self) {
        self.now.steady_ms = self.now.steady_ms.max(self.wake_at);
        self.happens(Event::Tick);
    }

    /// Does each output in turn, then looks at all that devices are shown.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.round.poll() {
            match output {
                Output::Persist(record) => self.watch.persist(record),
                Output::Publish(stage) => {
                    let members = self.round.cohort().expect("members to show it to").size();
                    self.watch.publish(stage, quorum(members));
                }
                Output::WakeAt(at) => {
                    assert!(at > self.now.steady_ms, "a deadline in the past");
                    self.wake_at = at;
                }
                Output::Blame { .. } => {}
                Output::Recover(recovery) => self.recover(recovery),
                Output::Finished => {
                    assert!(self.watch.recovered, "finished without a sum");
                    self.watch.end();
                }
                Output::Aborted(_) => self.watch.end(),
            }
        }
        assert_eq!(self.watch.over, self.round.step() == Step::Over, "over, and nobody was told");
        self.compare_with_what_was_shown();
    }

    fn compare_with_what_was_shown(&mut self) {
        for (stage, index) in STAGES.iter().flat_map(|stage| (0..SIZE).map(move |i| (*stage, i))) {
            let Some(bytes) = self.shown(index, stage) else { continue };
            self.watch.compare(stage, &bytes);
            let first = self.watch.shown.entry((stage, index)).or_insert_with(|| bytes.clone());
            assert_eq!(*first, bytes, "{stage:?} has changed");
        }
    }

    /// There is a quorum, and the masks that are to be taken off leave the exact sum.
    fn recover(&mut self, recovery: Recovery) {
        assert!(self.recovery.is_none() && !self.watch.over, "a second sum");
        let quorum = quorum(self.round.cohort().unwrap().size());
        assert!(self.watch.signed.len() >= quorum, "a sum without a quorum");
        let shown = self.watch.shown.iter().find(|((stage, _), _)| *stage == Stage::Quorum);
        let shown = Quorum::from_bytes(shown.expect("a quorum that was shown").1).unwrap();
        assert!(shown.signatures.len() >= quorum);
        let survivors = self.watch.survivors().expect("survivors that were written down");
        assert!(survivors.iter().eq(recovery.contributors().iter().copied()));
        let mut words = recovery.layout().zero_chunk(0);
        // Where only some entered, a place in the roster is not the number of a device.
        let cohort = self.round.cohort().unwrap();
        let number = |index: &usize| {
            let device = cohort.device(*index);
            (0..SIZE).find(|number| self.id(*number) == device).unwrap()
        };
        let contributors: Vec<usize> = recovery.contributors().iter().map(number).collect();
        for number in &contributors {
            let chunk = &self.watch.inputs[number][0];
            recovery.layout().add_from_wire(0, chunk, &mut words).unwrap();
        }
        recovery.unmask_chunk(0, &mut words);
        let sum = recovery.decode_chunk(0, &words).expect("canaries that count the contributors");
        let exact = (0..COORDINATES).map(|at| {
            contributors.iter().map(|number| units(*number, COORDINATES)[at]).sum::<i64>()
        });
        assert!(exact.eq(sum), "another sum than that of the inputs");
        self.recovery = Some(recovery);
    }

    /// The caller unmasked the sum, and says which chunks were wrong.
    pub(crate) fn recovered(&mut self, wrong_chunks: Vec<usize>) {
        self.watch.recovered = self.recovery.is_some() && wrong_chunks.is_empty();
        self.happens(Event::Recovered { wrong_chunks });
    }
}

impl Watch {
    fn persist(&mut self, record: Record) {
        let same_kind =
            |other: &Record| std::mem::discriminant(other) == std::mem::discriminant(&record);
        assert!(!self.persisted.iter().any(same_kind), "written down twice");
        self.persisted.push(record);
    }

    fn publish(&mut self, stage: Stage, quorum: usize) {
        assert!(!self.over, "{stage:?} is published after the end");
        assert!(self.published.last().is_none_or(|last| *last < stage), "{stage:?} out of order");
        let written = |matches: fn(&Record) -> bool| self.persisted.iter().any(matches);
        assert!(
            match stage {
                Stage::Roster => written(|record| matches!(record, Record::Roster(_))),
                Stage::Sharers => written(|record| matches!(record, Record::Sharers(_))),
                Stage::Survivors => written(|record| matches!(record, Record::Survivors { .. })),
                Stage::Quorum => self.signed.len() >= quorum,
                Stage::InboundShares => true,
            },
            "{stage:?} is published before it is there"
        );
        self.published.insert(stage);
    }

    fn survivors(&self) -> Option<&Bitmap> {
        self.persisted.iter().find_map(|record| match record {
            Record::Survivors { survivors, .. } => Some(survivors),
            _ => None,
        })
    }

    /// What is shown is what was written down.
    fn compare(&self, stage: Stage, bytes: &Arc<[u8]>) {
        for record in &self.persisted {
            match (record, stage) {
                (Record::Roster(written), Stage::Roster)
                | (Record::Sharers(written), Stage::Sharers) => assert_eq!(written, bytes),
                (Record::Survivors { survivors, lost }, Stage::Survivors) => {
                    let shown = Survivors::from_bytes(bytes).unwrap();
                    assert_eq!((&shown.survivors, &shown.lost), (survivors, lost));
                }
                _ => {}
            }
        }
    }

    fn end(&mut self) {
        assert!(!self.over, "a second end");
        self.over = true;
    }
}
