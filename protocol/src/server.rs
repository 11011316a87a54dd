//! The aggregator's side of a round: events in, outputs out, no vectors.
//!
//! The caller feeds [`Round::handle`] with what devices sent and with the time, then takes
//! [`Round::poll`] until it is empty, doing each output before the next: a record is on disk
//! before the stage that shows it is published, and [`Round::fetch`] gives nothing of a stage
//! before that. Masked inputs stay with the caller, who tells the machine their roots and in the
//! end unmasks the sum with the [`Recovery`] it is given; dealt shares may stay there too
//! ([`Round::keep_deals`]).
//!
//! The aggregator is trusted for availability only, so what it checks here keeps honest rounds
//! alive and dishonest devices named; what keeps inputs secret are the checks in
//! [`crate::client`].

pub mod advertise;
pub mod check;
pub mod deals;
pub mod mask;
pub mod recovery;
pub mod report;
pub mod revoke;
pub mod share;
pub mod unmask;

pub use deals::{Deals, Unkept};
pub use recovery::Recovery;
pub use report::{Dropped, Report, State};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::bitmap::Bitmap;
use crate::codec::{Encode, Message};
use crate::cohort::Cohort;
use crate::error::{Abort, AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::{DeviceId, Hash, RoundId};
use crate::membership::Membership;
use crate::messages::{
    Advertise, ConsistencySignature, MaskedInput, Reveal, ShareAck, SharedKeys, Sharers,
};
use crate::signature::Signature;
use crate::task::RoundSpec;
use crate::time::Now;

/// What happens to a round.
pub enum Event {
    /// A device sent a message.
    Received {
        /// The device, as TLS says.
        from: DeviceId,
        /// The message.
        message: Incoming,
    },
    /// The authority issued a status list.
    StatusList(Vec<u8>),
    /// A device's connection ended: steps no longer wait for it, but it may come back in time.
    Gone(DeviceId),
    /// A device that was gone is back.
    Back(DeviceId),
    /// The newest status list revokes a device that entered: its part must not be in a sum.
    Revoked(DeviceId),
    /// Time passed; due at the moment that [`Output::WakeAt`] named.
    Tick,
    /// The caller unmasked the sum with the [`Recovery`].
    Recovered {
        /// The chunks whose canaries do not count the contributors; empty if all is well.
        wrong_chunks: Vec<usize>,
    },
    /// The operator, or the caller, ends the round.
    End {
        /// Why.
        code: AbortCode,
        /// In words.
        message: String,
    },
}

/// A message of a device.
pub enum Incoming {
    /// Step 1.
    Advertise(Box<Advertise>),
    /// Step 2.
    Shares(SharedKeys),
    /// Step 2, after the shares were forwarded.
    Ack(ShareAck),
    /// Step 3, after all chunks.
    Masked {
        /// The message.
        message: MaskedInput,
        /// The root of the hash tree over the chunks as received.
        received_root: Hash,
    },
    /// Step 4.
    Consistency(ConsistencySignature),
    /// Step 5.
    Reveal(Reveal),
}

/// What the caller must do, in order.
pub enum Output {
    /// Write this down durably before taking the next output.
    Persist(Record),
    /// A stage is open: [`Round::fetch`] answers for it.
    Publish(Stage),
    /// Send [`Event::Tick`] at this steady millisecond.
    WakeAt(u64),
    /// A device is at fault; nothing needs to follow at once.
    Blame {
        /// The device.
        device: DeviceId,
        /// What it did.
        guard: Guard,
    },
    /// Sum the masked inputs of the contributors, unmask the sum, and say so with
    /// [`Event::Recovered`].
    Recover(Recovery),
    /// The sum may be published.
    Finished,
    /// There is no sum.
    Aborted(Abort),
}

/// What must outlive a restart: having shown it once, the aggregator may show no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The roster, as published.
    Roster(Arc<[u8]>),
    /// U2, as published.
    Sharers(Arc<[u8]>),
    /// A and D.
    Survivors {
        /// A.
        survivors: Bitmap,
        /// D.
        lost: Bitmap,
    },
}

/// What devices fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// [`crate::messages::Roster`], the same to all.
    Roster,
    /// [`crate::messages::InboundShares`], to each its own.
    InboundShares,
    /// [`crate::messages::Sharers`], the same to all.
    Sharers,
    /// [`crate::messages::Survivors`], to each its own.
    Survivors,
    /// [`crate::messages::Quorum`], the same to all.
    Quorum,
}

/// The answer to a device that asks for a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The message.
    Ready(Arc<[u8]>),
    /// Not yet; ask again.
    NotYet,
    /// Never: the round is over.
    Aborted(Abort),
}

/// What the round is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Devices enter.
    Advertise,
    /// Devices deal shares.
    Share,
    /// Devices acknowledge shares.
    Acknowledge,
    /// Devices send masked inputs.
    Mask,
    /// Devices sign the survivors.
    Check,
    /// Devices reveal shares.
    Unmask,
    /// The caller unmasks the sum.
    Recover,
    /// Nothing more.
    Over,
}

impl Step {
    /// The name of the step; acknowledging is part of sharing, recovering of unmasking.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Step::Advertise => Some("advertise"),
            Step::Share | Step::Acknowledge => Some("share"),
            Step::Mask => Some("mask"),
            Step::Check => Some("check"),
            Step::Unmask | Step::Recover => Some("unmask"),
            Step::Over => None,
        }
    }
}

/// One round.
pub struct Round {
    spec: RoundSpec,
    corrupt_fleet: u32,
    membership: Box<dyn Membership + Send>,
    step: Step,
    started_ms: u64,
    deadline_ms: u64,
    /// Milliseconds that each finished step took.
    took: Vec<(Step, u64)>,
    outputs: VecDeque<Output>,
    published: BTreeSet<Stage>,
    /// Digest of the one message of each kind that each device has sent.
    seen: BTreeMap<(DeviceId, u8), Hash>,
    gone: BTreeSet<DeviceId>,
    revoked: BTreeSet<DeviceId>,
    blamed: Vec<(DeviceId, Guard)>,
    entering: advertise::Entering,
    /// Where deals will be kept, until there are members; in memory, if nobody said.
    deals: Option<Box<dyn Deals + Send>>,
    members: Option<Box<Members>>,
    abort: Option<Abort>,
}

/// What is known of the members of the roster, by roster index.
struct Members {
    cohort: Cohort,
    roster: Arc<[u8]>,
    deals: Vec<Option<deals::Deal>>,
    /// What the devices dealt.
    kept: Box<dyn Deals + Send>,
    acks: Vec<Option<Bitmap>>,
    /// U2, once fixed.
    shared: Bitmap,
    sharers: Arc<[u8]>,
    masked: Vec<Option<MaskedInput>>,
    /// A, once fixed.
    survivors: Bitmap,
    /// D, once fixed.
    lost: Bitmap,
    /// What survivors sign, once A and D are fixed.
    alive_string: Vec<u8>,
    alive: Vec<Option<Signature>>,
    quorum: Arc<[u8]>,
    reveals: unmask::Reveals,
}

impl Round {
    /// Opens a round. `corrupt_fleet` is the largest that any device's policy names: with a
    /// smaller one the quorum that is collected may not satisfy those devices.
    ///
    /// # Errors
    /// The guard of [`RoundSpec::verify`], or [`Guard::StatusList`]; the caller is at fault.
    pub fn open(
        spec: RoundSpec,
        corrupt_fleet: u32,
        membership: Box<dyn Membership + Send>,
        status_list: Vec<u8>,
        now: Now,
    ) -> Result<Self, Refusal> {
        spec.verify()?;
        let mut round = Self {
            spec,
            corrupt_fleet,
            membership,
            step: Step::Advertise,
            started_ms: now.steady_ms,
            deadline_ms: now.steady_ms,
            took: Vec::new(),
            outputs: VecDeque::new(),
            published: BTreeSet::new(),
            seen: BTreeMap::new(),
            gone: BTreeSet::new(),
            revoked: BTreeSet::new(),
            blamed: Vec::new(),
            entering: advertise::Entering::default(),
            deals: None,
            members: None,
            abort: None,
        };
        round.admit_status_list(status_list, now)?;
        round.enter(Step::Advertise, now);
        Ok(round)
    }

    /// Keeps what devices deal there, not in memory; to be said before anybody deals.
    pub fn keep_deals(&mut self, deals: Box<dyn Deals + Send>) {
        match &mut self.members {
            Some(members) => members.kept = deals,
            None => self.deals = Some(deals),
        }
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// Its id.
    pub fn id(&self) -> RoundId {
        self.spec.round_id()
    }

    /// What it is doing.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The roster and what follows from it, once it is closed.
    pub fn cohort(&self) -> Option<&Cohort> {
        self.members.as_ref().map(|members| &members.cohort)
    }

    /// Whether the round waits for this device to enter.
    pub fn is_open_to(&self, device: DeviceId) -> bool {
        self.step == Step::Advertise && !self.seen.contains_key(&(device, Advertise::KIND))
    }

    /// Takes an event.
    ///
    /// # Errors
    /// The guard that refused a message, for the device that sent it; the round goes on. The same
    /// message again is no error.
    pub fn handle(&mut self, now: Now, event: Event) -> Result<(), Refusal> {
        let outcome = match event {
            Event::Received { from, message } => self.receive(from, message, now),
            Event::StatusList(list) => self.admit_status_list(list, now),
            Event::Gone(device) => {
                self.gone.insert(device);
                Ok(())
            }
            Event::Back(device) => {
                self.gone.remove(&device);
                Ok(())
            }
            Event::Revoked(device) => {
                self.revoke(device, now);
                Ok(())
            }
            Event::Tick => Ok(()),
            Event::Recovered { wrong_chunks } => {
                self.recovered(&wrong_chunks, now);
                Ok(())
            }
            Event::End { code, message } => {
                self.abort(code, message, Vec::new(), now);
                Ok(())
            }
        };
        while self.step_is_due(now) {
            self.close_step(now);
        }
        outcome
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let Output::Publish(stage) = output {
            self.published.insert(stage);
        }
        Some(output)
    }

    /// What a device asks for.
    ///
    /// # Errors
    /// [`Guard::NotInRoster`]; the device is at fault.
    pub fn fetch(&self, device: DeviceId, stage: Stage) -> Result<Fetched, Refusal> {
        if let Some(abort) = &self.abort {
            return Ok(Fetched::Aborted(abort.clone()));
        }
        let Some(members) = self.members.as_ref().filter(|_| self.published.contains(&stage))
        else {
            return Ok(Fetched::NotYet);
        };
        let index = members.index_of(device)?;
        Ok(Fetched::Ready(match stage {
            Stage::Roster => members.roster.clone(),
            Stage::InboundShares => match members.inbound_shares(index) {
                Some(inbound) => inbound.to_bytes().into(),
                None => return Ok(Fetched::NotYet),
            },
            Stage::Sharers => members.sharers.clone(),
            Stage::Survivors => members.survivors_for(index).to_bytes().into(),
            Stage::Quorum => members.quorum.clone(),
        }))
    }

    fn receive(&mut self, from: DeviceId, message: Incoming, now: Now) -> Result<(), Refusal> {
        let key = (from, message.kind());
        let digest = message.digest();
        if let Some(seen) = self.seen.get(&key) {
            return require_of(*seen == digest, Guard::DifferentResend, from, || {
                "the round goes on with the first".into()
            });
        }
        require_of(!self.revoked.contains(&from), Guard::Revoked, from, || {
            "it was revoked within the round".into()
        })?;
        let step = message.step();
        require_of(self.step <= step, Guard::Late, from, || "the step is over".into())?;
        require_of(self.step >= step, Guard::NotInRoster, from, || {
            "the step has not begun".into()
        })?;
        match message {
            Incoming::Advertise(message) => self.advertise(from, *message, now)?,
            Incoming::Shares(message) => self.members()?.shares(from, message)?,
            Incoming::Ack(message) => self.members()?.ack(from, message)?,
            Incoming::Masked { message, received_root } => {
                self.members()?.masked(from, message, received_root)?;
            }
            Incoming::Consistency(message) => self.members()?.consistency(from, &message)?,
            Incoming::Reveal(message) => {
                let wrong = self.members()?.reveal(from, message)?;
                if wrong {
                    self.blame(from, Guard::WrongShare);
                }
            }
        }
        self.seen.insert(key, digest);
        Ok(())
    }

    fn members(&mut self) -> Result<&mut Members, Refusal> {
        let missing = || Refusal::new(Guard::NotInRoster, "there is no roster yet");
        self.members.as_deref_mut().ok_or_else(missing)
    }

    fn step_is_due(&self, now: Now) -> bool {
        match self.step {
            Step::Over | Step::Recover => false,
            _ => now.steady_ms >= self.deadline_ms || self.step_is_complete(),
        }
    }

    /// Whether nobody is left to wait for.
    fn step_is_complete(&self) -> bool {
        let Some(members) = &self.members else { return self.enough_entered() };
        let all = 0..members.cohort.size();
        match self.step {
            Step::Share => self.nobody_left(members, all, |i| members.deals[i].is_some()),
            Step::Acknowledge => {
                let dealers = members.dealers();
                self.nobody_left(members, dealers.iter(), |i| members.acks[i].is_some())
            }
            Step::Mask => {
                let sharers = members.shared.iter();
                self.nobody_left(members, sharers, |i| members.masked[i].is_some())
            }
            Step::Check => {
                let survivors = members.survivors.iter();
                self.nobody_left(members, survivors, |i| members.alive[i].is_some())
            }
            Step::Unmask => {
                let signers = all.filter(|i| members.alive[*i].is_some());
                self.nobody_left(members, signers, |i| members.reveals.has(i))
            }
            Step::Advertise | Step::Recover | Step::Over => false,
        }
    }

    fn nobody_left(
        &self,
        members: &Members,
        mut awaited: impl Iterator<Item = usize>,
        has_answered: impl Fn(usize) -> bool,
    ) -> bool {
        let is_out = |index| {
            let device = members.cohort.device(index);
            self.gone.contains(&device) || self.revoked.contains(&device)
        };
        awaited.all(|index| has_answered(index) || is_out(index))
    }

    fn close_step(&mut self, now: Now) {
        match self.step {
            Step::Advertise => self.close_advertise(now),
            Step::Share => self.close_share(now),
            Step::Acknowledge => self.close_acknowledge(now),
            Step::Mask => self.close_mask(now),
            Step::Check => self.close_check(now),
            Step::Unmask => self.close_unmask(now),
            Step::Recover | Step::Over => {}
        }
    }

    /// Begins a step, with its deadline.
    fn enter(&mut self, step: Step, now: Now) {
        if step > self.step {
            self.took.push((self.step, now.steady_ms.saturating_sub(self.started_ms)));
        }
        self.step = step;
        self.started_ms = now.steady_ms;
        let deadlines = &self.spec.signed_task.task.deadlines_s;
        let seconds = match step {
            Step::Advertise => deadlines.advertise,
            Step::Share | Step::Acknowledge => deadlines.share,
            Step::Mask => deadlines.mask,
            Step::Check => deadlines.check,
            Step::Unmask => deadlines.unmask,
            Step::Recover | Step::Over => return,
        };
        self.deadline_ms = now.steady_ms + u64::from(seconds) * 1000;
        self.outputs.push_back(Output::WakeAt(self.deadline_ms));
    }

    fn blame(&mut self, device: DeviceId, guard: Guard) {
        self.blamed.push((device, guard));
        self.outputs.push_back(Output::Blame { device, guard });
    }

    fn abort(&mut self, code: AbortCode, message: String, culprits: Vec<DeviceId>, now: Now) {
        if self.step == Step::Over {
            return;
        }
        let abort = Abort { code, message, culprits };
        self.abort = Some(abort.clone());
        self.enter(Step::Over, now);
        self.outputs.push_back(Output::Aborted(abort));
    }
}

impl Members {
    fn new(cohort: Cohort, roster: Arc<[u8]>, kept: Box<dyn Deals + Send>) -> Self {
        let n = cohort.size();
        let nobody = || (0..n).map(|_| None).collect::<Vec<_>>();
        Self {
            roster,
            deals: (0..n).map(|_| None).collect(),
            kept,
            acks: vec![None; n],
            shared: Bitmap::empty(n),
            sharers: Arc::from(Sharers { shared: Bitmap::empty(n) }.to_bytes()),
            masked: vec![None; n],
            survivors: Bitmap::empty(n),
            lost: Bitmap::empty(n),
            alive_string: Vec::new(),
            alive: nobody(),
            quorum: Arc::from([]),
            reveals: unmask::Reveals::new(n),
            cohort,
        }
    }

    fn index_of(&self, device: DeviceId) -> Result<usize, Refusal> {
        let foreign = || Refusal::of(Guard::NotInRoster, device, "it did not enter the round");
        self.cohort.index_of(device).ok_or_else(foreign)
    }

    /// The place of a device in a set that the step before fixed.
    fn index_in(&self, device: DeviceId, set: &Bitmap) -> Result<usize, Refusal> {
        let index = self.index_of(device)?;
        require_of(set.contains(index), Guard::NotInRoster, device, || {
            "it did not complete the step before".into()
        })?;
        Ok(index)
    }
}

impl Incoming {
    fn step(&self) -> Step {
        match self {
            Incoming::Advertise(_) => Step::Advertise,
            Incoming::Shares(_) => Step::Share,
            Incoming::Ack(_) => Step::Acknowledge,
            Incoming::Masked { .. } => Step::Mask,
            Incoming::Consistency(_) => Step::Check,
            Incoming::Reveal(_) => Step::Unmask,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Incoming::Advertise(_) => Advertise::KIND,
            Incoming::Shares(_) => SharedKeys::KIND,
            Incoming::Ack(_) => ShareAck::KIND,
            Incoming::Masked { .. } => MaskedInput::KIND,
            Incoming::Consistency(_) => ConsistencySignature::KIND,
            Incoming::Reveal(_) => Reveal::KIND,
        }
    }

    fn digest(&self) -> Hash {
        let bytes = match self {
            Incoming::Advertise(message) => message.encoded(),
            Incoming::Shares(message) => message.encoded(),
            Incoming::Ack(message) => message.encoded(),
            Incoming::Masked { message, .. } => message.encoded(),
            Incoming::Consistency(message) => message.encoded(),
            Incoming::Reveal(message) => message.encoded(),
        };
        Hash(Sha256::digest(bytes).into())
    }
}
