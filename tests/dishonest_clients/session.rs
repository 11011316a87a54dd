//! A whole round of the shipped aggregator in which some devices follow a script.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::error::{AbortCode, Refusal};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::messages::{
    Advertise, ConsistencySignature, InboundShares, MaskedInput, Reveal, RevealedSecret,
    RevealedShare, ShareAck, SharedKeys, Sharers, Survivors,
};
use sealsum_protocol::server::{
    Event, Fetched, Incoming, Output, Recovery, Report, Round, Stage, State, Step,
};
use sealsum_protocol::task::Task;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::*;

type Scripted<T> = Box<dyn Fn(&Colluder, &Cohort, T) -> Option<T>>;

/// What a culprit makes of each message that an honest device would send; nothing is silence.
pub(crate) struct Script {
    pub(crate) deal: Scripted<SharedKeys>,
    pub(crate) ack: Scripted<ShareAck>,
    pub(crate) upload: Scripted<Upload>,
    pub(crate) sign: Scripted<ConsistencySignature>,
    pub(crate) reveal: Scripted<Reveal>,
}

/// Chunks and the message after them.
pub(crate) struct Upload {
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) message: MaskedInput,
    /// The U2 that they are masked against.
    pub(crate) shared: Bitmap,
}

impl Script {
    pub(crate) fn honest() -> Self {
        Self {
            deal: Box::new(|_, _, deal| Some(deal)),
            ack: Box::new(|_, _, ack| Some(ack)),
            upload: Box::new(|_, _, upload| Some(upload)),
            sign: Box::new(|_, _, signature| Some(signature)),
            reveal: Box::new(|_, _, reveal| Some(reveal)),
        }
    }

    /// Silent from a step on, counted from 0.
    pub(crate) fn silent_from(step: usize) -> Self {
        let mut script = Self::honest();
        if step < 1 {
            script.deal = Box::new(|_, _, _| None);
        }
        if step < 2 {
            script.ack = Box::new(|_, _, _| None);
        }
        if step < 3 {
            script.upload = Box::new(|_, _, _| None);
        }
        if step < 4 {
            script.sign = Box::new(|_, _, _| None);
        }
        if step < 5 {
            script.reveal = Box::new(|_, _, _| None);
        }
        script
    }
}

/// How a round ended.
pub(crate) struct Ended {
    /// The sum that is published.
    pub(crate) sum: Option<Vec<i64>>,
    pub(crate) report: Report,
    /// What culprits sent in vain, and why.
    pub(crate) refused: Vec<Guard>,
}

impl Ended {
    /// There is a sum, it is exact, and these and no others are in it.
    pub(crate) fn assert_exact(&self, contributors: &[usize]) {
        let contributed: Vec<usize> =
            self.report.contributors.iter().map(|device| index_of(*device)).collect();
        assert_eq!(contributed, contributors, "{:?}", self.report.state);
        let inputs: Vec<Vec<i64>> = contributors.iter().map(|index| units(*index, 5)).collect();
        let sum = (0..5).map(|place| inputs.iter().map(|input| input[place]).sum()).collect();
        assert_eq!(self.sum, Some(sum), "{:?}", self.report.state);
    }

    /// There is no sum; the reason, and who is named for it.
    pub(crate) fn abort(&self) -> (AbortCode, Vec<usize>) {
        assert_eq!(self.sum, None);
        let State::Aborted(abort) = &self.report.state else { panic!("{:?}", self.report.state) };
        (abort.code, abort.culprits.iter().map(|device| index_of(*device)).collect())
    }

    /// Who is at fault, and for what.
    pub(crate) fn blamed(&self) -> Vec<(usize, Guard)> {
        self.report.blamed.iter().map(|(device, guard)| (index_of(*device), *guard)).collect()
    }

    /// Who did not complete a step, and which.
    pub(crate) fn dropped(&self) -> Vec<(usize, Step)> {
        self.report.dropped.iter().map(|dropped| (index_of(dropped.device), dropped.step)).collect()
    }
}

/// [`Device::new`] puts the index into the first eight bytes of the id.
fn index_of(device: DeviceId) -> usize {
    u64::from_be_bytes(device.0[..8].try_into().unwrap()) as usize
}

/// A round of six devices of which the last follows the script; c = 1, t = 4, A_min = 5.
pub(crate) fn six(script: &Script) -> Ended {
    round(6, &[5], script)
}

/// A round of so many devices of which some follow the script.
pub(crate) fn round(n: usize, culprits: &[usize], script: &Script) -> Ended {
    let mut session = Session::new(n, task(n, |_| {}), culprits);
    session.run(script);
    session.end()
}

/// The round, step by step.
pub(crate) struct Session {
    pub(crate) round: Round,
    pub(crate) members: Vec<Member>,
    chunks: Vec<Vec<Vec<u8>>>,
    now: Now,
    wake_at: u64,
    recovery: Option<Recovery>,
    refused: Vec<Guard>,
}

impl Session {
    pub(crate) fn new(n: usize, task: Task, culprits: &[usize]) -> Self {
        let spec = spec(task, 1);
        let registry = Box::new(Registry::default());
        let round = Round::open(spec.clone(), 0, registry, status_list(1, &[]), START).unwrap();
        let devices: Vec<usize> = (0..n).collect();
        let Liar { members, entries, .. } = Liar::among(&devices, &spec, culprits, &policy());
        let chunks = vec![Vec::new(); n];
        let (recovery, refused) = (None, Vec::new());
        let mut session =
            Self { round, members, chunks, now: START, wake_at: 0, recovery, refused };
        for (index, signed) in entries.into_iter().enumerate() {
            session.send(index, Incoming::Advertise(Box::new(Advertise { signed }))).unwrap();
        }
        session
    }

    /// All steps.
    pub(crate) fn run(&mut self, script: &Script) {
        self.share(script);
        self.acknowledge(script);
        self.mask(script);
        self.check(script);
        self.unmask(script);
    }

    pub(crate) fn device_id(&self, index: usize) -> DeviceId {
        match &self.members[index] {
            Member::Honest(device) => device.device.id,
            Member::Colluding(culprit) => culprit.device.id,
        }
    }

    pub(crate) fn send(&mut self, index: usize, message: Incoming) -> Result<(), Refusal> {
        let from = self.device_id(index);
        let outcome = self.round.handle(self.now, Event::Received { from, message });
        self.drain();
        outcome
    }

    fn drain(&mut self) {
        while let Some(output) = self.round.poll() {
            match output {
                Output::WakeAt(at) => self.wake_at = at,
                Output::Recover(recovery) => self.recovery = Some(recovery),
                _ => {}
            }
        }
    }

    /// What a culprit sends may be refused; nothing else may.
    pub(crate) fn send_of_culprit(&mut self, index: usize, message: Incoming) {
        if let Err(refusal) = self.send(index, message) {
            self.refused.push(refusal.guard);
        }
    }

    fn pass_deadline(&mut self, step: Step) {
        if self.round.step() == step {
            self.now.steady_ms = self.wake_at;
            self.round.handle(self.now, Event::Tick).unwrap();
            self.drain();
        }
    }

    fn fetch(&self, index: usize, stage: Stage) -> Option<Vec<u8>> {
        match self.round.fetch(self.device_id(index), stage).unwrap() {
            Fetched::Ready(bytes) => Some(bytes.to_vec()),
            Fetched::NotYet | Fetched::Aborted(_) => None,
        }
    }

    /// Each honest device fetches the stage; what it says is sent.
    fn honest_devices_answer(&mut self, stage: Stage) {
        for index in 0..self.members.len() {
            let Some(bytes) = self.fetch(index, stage) else { continue };
            let now = self.now;
            let Member::Honest(device) = &mut self.members[index] else { continue };
            // A device that was left out of U2 refuses, like any that the round goes on without.
            let said = device.hear(stage, &bytes, now).unwrap_or_default();
            said.into_iter().for_each(|said| self.forward(index, said));
        }
    }

    fn forward(&mut self, index: usize, said: Said) {
        let message = match said {
            Said::Advertise(_) => panic!("entered before"),
            Said::Chunk { bytes, .. } => return self.chunks[index].push(bytes),
            Said::Shares(bytes) => Incoming::Shares(SharedKeys::from_bytes(&bytes).unwrap()),
            Said::Ack(bytes) => Incoming::Ack(ShareAck::from_bytes(&bytes).unwrap()),
            Said::Masked(bytes) => Incoming::Masked {
                message: MaskedInput::from_bytes(&bytes).unwrap(),
                received_root: root_of(&self.chunks[index]),
            },
            Said::Consistency(bytes) => {
                Incoming::Consistency(ConsistencySignature::from_bytes(&bytes).unwrap())
            }
            Said::Reveal(bytes) => Incoming::Reveal(Reveal::from_bytes(&bytes).unwrap()),
        };
        self.send(index, message).unwrap();
    }

    fn culprits(&self) -> Vec<usize> {
        let colludes = |index: &usize| matches!(self.members[*index], Member::Colluding(_));
        (0..self.members.len()).filter(colludes).collect()
    }

    fn culprit(&self, index: usize) -> (&Colluder, &Cohort) {
        let Member::Colluding(culprit) = &self.members[index] else { panic!("{index} is honest") };
        (culprit, self.round.cohort().unwrap())
    }

    pub(crate) fn share(&mut self, script: &Script) {
        for index in self.culprits() {
            let (culprit, cohort) = self.culprit(index);
            let deal = culprit.deal_to(cohort, |_| true);
            if let Some(deal) = (script.deal)(culprit, cohort, deal) {
                self.send_of_culprit(index, Incoming::Shares(deal));
            }
        }
        self.honest_devices_answer(Stage::Roster);
        self.pass_deadline(Step::Share);
    }

    pub(crate) fn acknowledge(&mut self, script: &Script) {
        for index in self.culprits() {
            let (culprit, cohort) = self.culprit(index);
            let k = cohort.parameters.k;
            let ack = ShareAck { good: Bitmap::of(k, 0..k) };
            if let Some(ack) = (script.ack)(culprit, cohort, ack) {
                self.send_of_culprit(index, Incoming::Ack(ack));
            }
        }
        self.honest_devices_answer(Stage::InboundShares);
        self.pass_deadline(Step::Acknowledge);
    }

    pub(crate) fn mask(&mut self, script: &Script) {
        for index in self.culprits() {
            let Some(bytes) = self.fetch(index, Stage::Sharers) else { continue };
            let shared = Sharers::from_bytes(&bytes).unwrap().shared;
            let (culprit, cohort) = self.culprit(index);
            let chunks = culprit.chunks(cohort, &shared, &units(index, 5));
            let message = culprit.masked_input(cohort, &shared, &chunks);
            let upload = Upload { chunks, message, shared };
            if let Some(upload) = (script.upload)(culprit, cohort, upload) {
                self.upload(index, upload);
            }
        }
        self.honest_devices_answer(Stage::Sharers);
        self.pass_deadline(Step::Mask);
    }

    /// As the aggregator's program does: a chunk that is none of the layout is not stored.
    pub(crate) fn upload(&mut self, index: usize, upload: Upload) {
        let layout = self.round.cohort().unwrap().layout.clone();
        for (number, chunk) in upload.chunks.into_iter().enumerate() {
            if layout.check_wire(number, &chunk).is_ok() {
                self.chunks[index].push(chunk);
            }
        }
        let received_root = root_of(&self.chunks[index]);
        let message = Incoming::Masked { message: upload.message, received_root };
        self.send_of_culprit(index, message);
    }

    pub(crate) fn check(&mut self, script: &Script) {
        for index in self.culprits() {
            let Some(bytes) = self.fetch(index, Stage::Survivors) else { continue };
            let Survivors { survivors, lost, .. } = Survivors::from_bytes(&bytes).unwrap();
            let shared = survivors.union(&lost);
            let (culprit, cohort) = self.culprit(index);
            let signature = culprit.alive(cohort, [&shared, &survivors, &lost]);
            let message = ConsistencySignature { signature };
            if let Some(message) = (script.sign)(culprit, cohort, message) {
                self.send_of_culprit(index, Incoming::Consistency(message));
            }
        }
        self.honest_devices_answer(Stage::Survivors);
        self.pass_deadline(Step::Check);
    }

    pub(crate) fn unmask(&mut self, script: &Script) {
        for index in self.culprits() {
            if self.round.step() != Step::Unmask {
                continue;
            }
            let reveal = self.honest_reveal(index);
            let (culprit, cohort) = self.culprit(index);
            if let Some(reveal) = (script.reveal)(culprit, cohort, reveal) {
                self.send_of_culprit(index, Incoming::Reveal(reveal));
            }
        }
        self.honest_devices_answer(Stage::Quorum);
        self.pass_deadline(Step::Unmask);
    }

    /// The answer that an honest device in the culprit's place would give.
    fn honest_reveal(&self, index: usize) -> Reveal {
        let inbound = self.fetch(index, Stage::InboundShares).unwrap();
        let survivors = self.fetch(index, Stage::Survivors).unwrap();
        let Survivors { survivors, lost, .. } = Survivors::from_bytes(&survivors).unwrap();
        let (culprit, cohort) = self.culprit(index);
        let share = |share: &sealsum_protocol::messages::InboundShare| {
            let dealer = usize::from(share.dealer);
            let [mask_key, self_mask] =
                culprit.open_dealt(cohort, dealer, &share.dealer_commitment, &share.dealt)?;
            let secret = match (survivors.contains(dealer), lost.contains(dealer)) {
                (true, _) => RevealedSecret::SelfMask(self_mask),
                (_, true) => RevealedSecret::MaskKey(mask_key),
                _ => return None,
            };
            Some(RevealedShare { dealer: share.dealer, secret })
        };
        let inbound = InboundShares::from_bytes(&inbound).unwrap();
        Reveal { shares: inbound.shares.iter().filter_map(share).collect() }
    }

    /// Unmasks the sum as the aggregator's program does.
    pub(crate) fn end(mut self) -> Ended {
        let sum = self.recovery.take().and_then(|recovery| self.recover(&recovery));
        Ended { sum, report: self.round.report(), refused: self.refused }
    }

    fn recover(&mut self, recovery: &Recovery) -> Option<Vec<i64>> {
        let layout = recovery.layout();
        let (mut sum, mut wrong_chunks) = (Vec::new(), Vec::new());
        for chunk in 0..layout.chunks() {
            let mut words = layout.zero_chunk(chunk);
            for index in recovery.contributors() {
                layout.add_from_wire(chunk, &self.chunks[*index][chunk], &mut words).unwrap();
            }
            recovery.unmask_chunk(chunk, &mut words);
            match recovery.decode_chunk(chunk, &words) {
                Ok(values) => sum.extend(values),
                Err(_) => wrong_chunks.push(chunk),
            }
        }
        self.round.handle(self.now, Event::Recovered { wrong_chunks }).unwrap();
        self.drain();
        (self.round.report().state == State::Finished).then_some(sum)
    }
}
