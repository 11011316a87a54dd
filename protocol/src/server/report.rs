//! What became of a round, for those who look at it.

use super::{Members, Round, Step};
use crate::bitmap::Bitmap;
use crate::error::Abort;
use crate::guard::Guard;
use crate::ids::{DeviceId, Hash, RoundId};
use crate::parameters::Parameters;

/// Where a round stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In this step.
    Running(Step),
    /// There is a sum.
    Finished,
    /// There is none.
    Aborted(Abort),
}

/// What became of a round so far.
#[derive(Debug, Clone)]
pub struct Report {
    /// The round.
    pub round: RoundId,
    /// Where it stands.
    pub state: State,
    /// What every device computed; none before the roster.
    pub parameters: Option<Parameters>,
    /// rho.
    pub roster_root: Option<Hash>,
    /// SHA-256 of what the survivors signed.
    pub survivors_sha256: Option<Hash>,
    /// Who entered.
    pub roster: Vec<DeviceId>,
    /// U2.
    pub shared: Vec<DeviceId>,
    /// A: exactly the devices in the sum.
    pub contributors: Vec<DeviceId>,
    /// Who did not complete a step that is over.
    pub dropped: Vec<Dropped>,
    /// Who signed the survivors.
    pub signers: Vec<DeviceId>,
    /// Who revealed shares.
    pub revealers: Vec<DeviceId>,
    /// Who is at fault, and for what.
    pub blamed: Vec<(DeviceId, Guard)>,
    /// Milliseconds that each finished step took.
    pub took_ms: Vec<(Step, u64)>,
}

/// A device that did not complete a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The device.
    pub device: DeviceId,
    /// The first step that it did not complete.
    pub step: Step,
}

impl Round {
    /// What became of the round so far.
    pub fn report(&self) -> Report {
        let members = self.members.as_deref();
        let devices = |set: fn(&Members) -> Bitmap| {
            members.map(|members| members.cohort.devices(&set(members))).unwrap_or_default()
        };
        let over = |step: Step| self.step > step && members.is_some();
        Report {
            round: self.id(),
            state: self.state(),
            parameters: members.map(|members| members.cohort.parameters.clone()),
            roster_root: members.map(|members| members.cohort.transcript.roster_root),
            survivors_sha256: members.and_then(Members::survivors_sha256),
            roster: devices(|members| Bitmap::of(members.cohort.size(), 0..members.cohort.size())),
            shared: devices(|members| members.shared.clone()),
            contributors: devices(|members| members.survivors.clone()),
            dropped: members.map(|members| members.dropped(over)).unwrap_or_default(),
            signers: devices(Members::signers),
            revealers: devices(Members::revealers),
            blamed: self.blamed.clone(),
            took_ms: self.took.clone(),
        }
    }

    /// How many members the step in progress waits for; none before there is a roster. Far cheaper
    /// than a [`Report`].
    pub fn awaited(&self) -> usize {
        let Some(members) = &self.members else { return 0 };
        match self.step {
            Step::Advertise | Step::Over => 0,
            Step::Share | Step::Acknowledge => members.cohort.size(),
            Step::Mask => members.shared.count(),
            Step::Check => members.survivors.count(),
            Step::Unmask | Step::Recover => members.signers().count(),
        }
    }

    fn state(&self) -> State {
        match (&self.abort, self.step) {
            (Some(abort), _) => State::Aborted(abort.clone()),
            (None, Step::Over) => State::Finished,
            (None, step) => State::Running(step),
        }
    }
}

impl Members {
    fn signers(&self) -> Bitmap {
        let signed = self.alive.iter().enumerate().filter(|(_, signature)| signature.is_some());
        Bitmap::of(self.cohort.size(), signed.map(|(index, _)| index))
    }

    fn revealers(&self) -> Bitmap {
        let n = self.cohort.size();
        Bitmap::of(n, (0..n).filter(|index| self.reveals.has(*index)))
    }

    fn survivors_sha256(&self) -> Option<Hash> {
        use sha2::{Digest, Sha256};
        let fixed = !self.alive_string.is_empty();
        fixed.then(|| Hash(Sha256::digest(&self.alive_string).into()))
    }

    /// The first step each device did not complete, of those whose outcome is fixed.
    fn dropped(&self, over: impl Fn(Step) -> bool) -> Vec<Dropped> {
        let all = Bitmap::of(self.cohort.size(), 0..self.cohort.size());
        let chain = [
            (Step::Share, self.shared.clone()),
            (Step::Mask, self.survivors.clone()),
            (Step::Check, self.signers()),
            (Step::Unmask, self.revealers()),
        ];
        let mut before = all;
        let mut dropped = Vec::new();
        for (step, completed) in chain {
            if completed.count() == 0 || !over(step) {
                break;
            }
            let missing = before.without(&completed);
            let devices = self.cohort.devices(&missing).into_iter();
            dropped.extend(devices.map(|device| Dropped { device, step }));
            before = completed;
        }
        dropped
    }
}
