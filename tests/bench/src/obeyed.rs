//! The aggregator's state machine among honest devices: every output is obeyed at once.

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::server::{Event, Incoming, Output, Recovery, Round};
use sealsum_protocol::task::Task;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, START, spec, status_list};

/// A round that nobody disturbs.
pub(crate) struct Obeyed {
    pub(crate) round: Round,
    /// What unmasks the sum, once there is one.
    pub(crate) recovery: Option<Recovery>,
    now: Now,
    wake_at: u64,
}

impl Obeyed {
    pub(crate) fn open(task: Task) -> Self {
        let (registry, list) = (Box::new(Registry::default()), status_list(1, &[]));
        let round = Round::open(spec(task, 1), 0, registry, list, START).expect("a round");
        Self { round, recovery: None, now: START, wake_at: 0 }
    }

    pub(crate) fn cohort(&self) -> &Cohort {
        self.round.cohort().expect("a roster")
    }

    pub(crate) fn receive(&mut self, from: DeviceId, message: Incoming) {
        self.event(Event::Received { from, message });
    }

    pub(crate) fn pass_deadline(&mut self) {
        self.now.steady_ms = self.wake_at;
        self.event(Event::Tick);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.round.handle(self.now, event).expect("an honest message");
        while let Some(output) = self.round.poll() {
            match output {
                Output::WakeAt(at) => self.wake_at = at,
                Output::Recover(recovery) => self.recovery = Some(recovery),
                Output::Blame { guard, .. } => panic!("{guard:?}"),
                Output::Aborted(abort) => panic!("{abort:?}"),
                Output::Persist(_) | Output::Publish(_) | Output::Finished => {}
            }
        }
    }
}
