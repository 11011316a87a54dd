//! One running round: the machine, the vectors that came in, and who is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealsum_protocol::codec::{CodecError, Message};
use sealsum_protocol::encoding::Layout;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{
    Advertise, Announcement, ConsistencySignature, MaskedInput, Reveal, ShareAck, SharedKeys,
};
use sealsum_protocol::server::{
    Event, Fetched, Incoming, Output, Recovery, Report, Round, Stage, State, Step,
};
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, Said, id_of, root_of};

use super::{Answer, Ending, Wish, contributors, fact};

/// A round in the memory of the program.
pub struct Live {
    machine: Round,
    layout: Layout,
    announcement: Arc<[u8]>,
    uploads: BTreeMap<usize, Upload>,
    /// U2, once it is fixed.
    shared: BTreeSet<usize>,
    gone: BTreeSet<usize>,
    /// Revoked while the sum was still in the aggregator's hands.
    pub revoked: BTreeSet<usize>,
    recovery: Option<Recovery>,
    sum: Vec<i64>,
    refused: Vec<Guard>,
    opening: Opening,
    /// What happened, where a liar may restore an older state.
    log: Vec<(Now, Logged)>,
    pub(super) to_persist: Vec<(&'static str, Vec<u8>)>,
}

/// What a round is opened with.
#[derive(Clone)]
struct Opening {
    spec: RoundSpec,
    corrupt_fleet: u32,
    registry: Registry,
    list: Vec<u8>,
    now: Now,
}

#[derive(Clone)]
enum Logged {
    Said(usize, Said),
    Tick,
}

/// The vector of one device.
struct Upload {
    chunks: Vec<Option<Vec<u8>>>,
    complete: bool,
}

impl Live {
    pub(super) fn open(
        spec: RoundSpec,
        corrupt_fleet: u32,
        registry: Registry,
        list: Vec<u8>,
        now: Now,
    ) -> Result<Self, Refusal> {
        let layout = spec.signed_task.task.layout()?;
        let opening = Opening {
            spec: spec.clone(),
            corrupt_fleet,
            registry: registry.clone(),
            list: list.clone(),
            now,
        };
        let announcement = Announcement { rounds: vec![spec.clone()] }.to_bytes().into();
        let machine = Round::open(spec, corrupt_fleet, Box::new(registry), list, now)?;
        Ok(Self {
            machine,
            layout,
            announcement,
            uploads: BTreeMap::new(),
            shared: BTreeSet::new(),
            gone: BTreeSet::new(),
            revoked: BTreeSet::new(),
            recovery: None,
            sum: Vec::new(),
            refused: Vec::new(),
            opening,
            log: Vec::new(),
            to_persist: Vec::new(),
        })
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        self.machine.spec()
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.machine.step() == Step::Over
    }

    /// What it is doing.
    pub fn step(&self) -> Step {
        self.machine.step()
    }

    /// What became of it so far.
    pub fn report(&self) -> Report {
        self.machine.report()
    }

    /// The guards that refused messages since this was last asked.
    pub fn take_refusals(&mut self) -> Vec<Guard> {
        std::mem::take(&mut self.refused)
    }

    /// Lets something happen that is nobody's message.
    pub fn happen(&mut self, event: Event, now: Now) {
        match &event {
            Event::Tick => self.log.push((now, Logged::Tick)),
            // Nobody takes an older one again.
            Event::StatusList(list) => self.opening.list.clone_from(list),
            _ => {}
        }
        if let Err(refusal) = self.machine.handle(now, event) {
            self.refused.push(refusal.guard);
        }
    }

    /// A device's connection has been away for long.
    pub fn gone(&mut self, device: usize, now: Now) {
        if self.gone.insert(device) {
            self.happen(Event::Gone(id_of(device)), now);
        }
    }

    fn is_back(&mut self, device: usize, now: Now) {
        if self.gone.remove(&device) {
            self.happen(Event::Back(id_of(device)), now);
        }
    }

    pub(super) fn revoke(&mut self, device: usize, now: Now) {
        if self.machine.step() < Step::Recover {
            self.revoked.insert(device);
        }
        self.happen(Event::Revoked(id_of(device)), now);
    }

    pub(super) fn open_to(&mut self, device: usize, now: Now) -> Option<Arc<[u8]>> {
        self.is_back(device, now);
        let open = self.machine.is_open_to(id_of(device));
        open.then(|| self.announcement.clone())
    }

    pub(super) fn ask(&mut self, device: usize, stage: Stage, now: Now) -> Option<Answer> {
        self.is_back(device, now);
        match self.machine.fetch(id_of(device), stage) {
            Ok(Fetched::Ready(bytes)) => Some(Answer::Ready(bytes)),
            Ok(Fetched::NotYet) if !self.ended() => None,
            Ok(Fetched::NotYet | Fetched::Aborted(_)) => Some(Answer::Gone),
            Err(refusal) => Some(self.refuse(refusal.guard)),
        }
    }

    pub(super) fn deliver(&mut self, device: usize, said: &Said, now: Now) -> Answer {
        self.is_back(device, now);
        self.log.push((now, Logged::Said(device, said.clone())));
        if matches!(self.machine.report().state, State::Aborted(_)) {
            return Answer::Gone;
        }
        let message = match self.incoming(device, said) {
            Ok(Some(message)) => message,
            Ok(None) => return Answer::Taken,
            Err(guard) => return self.refuse(guard),
        };
        let from = id_of(device);
        match self.machine.handle(now, Event::Received { from, message }) {
            Ok(()) => Answer::Taken,
            Err(refusal) => self.refuse(refusal.guard),
        }
    }

    fn refuse(&mut self, guard: Guard) -> Answer {
        self.refused.push(guard);
        Answer::Refused(guard)
    }

    fn incoming(&mut self, device: usize, said: &Said) -> Result<Option<Incoming>, Guard> {
        let bad = |_: CodecError| Guard::Encoding;
        Ok(Some(match said {
            Said::Advertise(bytes) => {
                Incoming::Advertise(Box::new(Advertise::from_bytes(bytes).map_err(bad)?))
            }
            Said::Shares(bytes) => Incoming::Shares(SharedKeys::from_bytes(bytes).map_err(bad)?),
            Said::Ack(bytes) => Incoming::Ack(ShareAck::from_bytes(bytes).map_err(bad)?),
            Said::Chunk { index, bytes } => {
                self.vector_is_due(device)?;
                return self.put(device, *index, bytes).map(|()| None);
            }
            Said::Masked(bytes) => {
                let message = MaskedInput::from_bytes(bytes).map_err(bad)?;
                self.vector_is_due(device)?;
                let received_root = self.complete(device, &message)?;
                Incoming::Masked { message, received_root }
            }
            Said::Consistency(bytes) => {
                Incoming::Consistency(ConsistencySignature::from_bytes(bytes).map_err(bad)?)
            }
            Said::Reveal(bytes) => Incoming::Reveal(Reveal::from_bytes(bytes).map_err(bad)?),
        }))
    }

    fn vector_is_due(&self, device: usize) -> Result<(), Guard> {
        match self.machine.step() {
            Step::Advertise | Step::Share | Step::Acknowledge => Err(Guard::NotInRoster),
            Step::Mask if self.shared.contains(&device) => Ok(()),
            Step::Mask => Err(Guard::NotInRoster),
            _ => Err(Guard::Late),
        }
    }

    /// The same bytes again change nothing; other bytes are not taken.
    fn put(&mut self, device: usize, index: usize, bytes: &[u8]) -> Result<(), Guard> {
        let chunks = self.layout.chunks();
        if index >= chunks || self.layout.check_wire(index, bytes).is_err() {
            return Err(Guard::Encoding);
        }
        let empty = || Upload { chunks: vec![None; chunks], complete: false };
        let upload = self.uploads.entry(device).or_insert_with(empty);
        match &upload.chunks[index] {
            Some(known) if known == bytes => Ok(()),
            Some(_) => Err(Guard::DifferentResend),
            None if upload.complete => Err(Guard::Late),
            None => {
                upload.chunks[index] = Some(bytes.to_vec());
                Ok(())
            }
        }
    }

    fn complete(
        &mut self,
        device: usize,
        message: &MaskedInput,
    ) -> Result<sealsum_protocol::ids::Hash, Guard> {
        let upload = self.uploads.get_mut(&device).ok_or(Guard::MaskedRoot)?;
        let chunks: Option<Vec<Vec<u8>>> = upload.chunks.iter().cloned().collect();
        let received = root_of(&chunks.ok_or(Guard::MaskedRoot)?);
        if received != message.root {
            return Err(Guard::MaskedRoot);
        }
        upload.complete = true;
        Ok(received)
    }

    /// Does what the machine says, in its order.
    pub(crate) fn obey(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Persist(record) => self.to_persist.push(fact(&record)),
                Output::Publish(stage) => {
                    if stage == Stage::Sharers {
                        let shared = self.machine.report().shared;
                        self.shared = shared.iter().map(crate::ledger::device_of).collect();
                    }
                    wishes.push(Wish::AnswerWaiting);
                }
                Output::WakeAt(at_ms) => wishes.push(Wish::Wake(at_ms)),
                Output::Blame { guard, .. } => wishes.push(Wish::Blamed(guard)),
                Output::Recover(recovery) => {
                    self.recovery = Some(recovery);
                    wishes.push(Wish::Unmask);
                }
                Output::Finished => {
                    let report = self.machine.report();
                    let sum = std::mem::take(&mut self.sum);
                    let contributors = contributors(&report);
                    wishes.push(Wish::Ended(
                        Box::new(report),
                        Ending::Finished { contributors, sum },
                    ));
                    wishes.push(Wish::AnswerWaiting);
                }
                Output::Aborted(abort) => {
                    let ending = Ending::Aborted(abort.code.as_str().to_owned());
                    wishes.push(Wish::Ended(Box::new(self.machine.report()), ending));
                    wishes.push(Wish::AnswerWaiting);
                }
            }
        }
        wishes
    }

    /// The round as it was before the last `back` things happened to it, who spoke next then, and
    /// when it must be woken.
    pub fn restored(&self, back: usize) -> (Self, Option<usize>, Vec<u64>) {
        let Opening { spec, corrupt_fleet, registry, list, now: opened } = self.opening.clone();
        let opened = Self::open(spec, corrupt_fleet, registry, list, opened);
        let mut old = opened.expect("it opened before");
        let mut wakes = Vec::new();
        let mut note = |wishes: Vec<Wish>| {
            wakes.extend(wishes.into_iter().filter_map(|wish| match wish {
                Wish::Wake(at_ms) => Some(at_ms),
                _ => None,
            }));
        };
        note(old.obey());
        let (kept, lost) = self.log.split_at(self.log.len().saturating_sub(back));
        for (at, logged) in kept {
            match logged {
                Logged::Said(device, said) => drop(old.deliver(*device, said, *at)),
                Logged::Tick => old.happen(Event::Tick, *at),
            }
            note(old.obey());
        }
        let next = lost.iter().find_map(|(_, logged)| match logged {
            Logged::Said(device, _) => Some(*device),
            Logged::Tick => None,
        });
        (old, next, wakes)
    }

    /// Unmasks the sum as the program does, and says so to the machine.
    pub fn unmask(&mut self, now: Now) {
        let Some(recovery) = self.recovery.take() else { return };
        let roster = self.machine.report().roster;
        let layout = recovery.layout();
        let (mut sum, mut wrong_chunks) = (Vec::new(), Vec::new());
        for chunk in 0..layout.chunks() {
            let mut words = layout.zero_chunk(chunk);
            for index in recovery.contributors() {
                let device = crate::ledger::device_of(&roster[*index]);
                let bytes = self.uploads.get(&device).and_then(|u| u.chunks[chunk].as_ref());
                let bytes = bytes.expect("the vector of a contributor is complete");
                layout.add_from_wire(chunk, bytes, &mut words).expect("it was checked");
            }
            recovery.unmask_chunk(chunk, &mut words);
            match recovery.decode_chunk(chunk, &words) {
                Ok(values) => sum.extend(values),
                Err(_) => wrong_chunks.push(chunk),
            }
        }
        self.sum = sum;
        self.happen(Event::Recovered { wrong_chunks }, now);
    }
}
