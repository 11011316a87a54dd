//! Every history of a device and its copies up to a length: kills between any two acts of a step,
//! any older file put back, the file lost and any head that the authority ever got given back, another
//! copy that acts in the middle of a step.
//!
//! It is the real [`Ledger`] on real files that plays them; only the counter is one in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sealsum_agent::config::Policy;
use sealsum_agent::ledger::{Beginning, Head, Ledger};
use sealsum_agent::state::StateDir;
use sealsum_protocol::dp::accountant::{Charge, Orders};
use tempfile::TempDir;

use crate::chip::{Chip, Plan};

const FILE: &str = "ledger.json";
/// What a round may cost here, in thousandths of rho: a little, and as much as the policy allows.
const COSTS: [u64; 2] = [10, 100];

fn charge(thousandths: u64) -> Charge {
    Charge { xi: 0, rho: (1 << 48) / 1000 * thousandths }
}

fn epsilon(charge: Charge) -> f64 {
    charge.epsilon(Policy::default().delta, Orders::Integer)
}

fn policy() -> Policy {
    Policy {
        max_epsilon: 1e6,
        max_epsilon_per_task: 1e6,
        max_epsilon_per_round: epsilon(charge(COSTS[1])) + 1e-9,
        max_failed_rounds_in_row: 1000,
        ..Policy::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(86_400 * 900).unwrap()
}

/// All that a history can be continued from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    counter: u64,
    /// Every content that the file ever had, for whoever puts one back.
    files: BTreeSet<Vec<u8>>,
    /// Every head that the ledger ever had, as [`Ground::head`] knows it.
    heads: BTreeSet<String>,
    /// What left the device, in thousandths of rho.
    sent: u64,
    /// The values of the counter at which something left.
    sent_at: BTreeSet<u64>,
}

/// Where a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Opened and stopped.
    Opened,
    /// Written down, the counter not moved.
    Written,
    /// The counter moved, that not written down.
    Moved,
    /// All but sent.
    Seen,
    /// The masked input left, if the ledger let it.
    Sent,
}

const ENDS: [End; 5] = [End::Opened, End::Written, End::Moved, End::Seen, End::Sent];

/// When another copy acts in the middle of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meddling {
    Never,
    /// Between writing down and moving.
    Before,
    /// Between moving and reading what it is now.
    After,
}

/// What a process finds when it begins.
#[derive(Clone, Debug)]
enum Found {
    File(Vec<u8>),
    /// No file, and this head from the authority.
    Head(String),
}

impl Found {
    /// What a process does, and where it ends. After a lost file all costs and ends would be the same
    /// again as after any other start: a few will do.
    fn acts(&self) -> Vec<(u64, End)> {
        match self {
            Self::File(_) => COSTS.iter().flat_map(|cost| ENDS.map(|end| (*cost, end))).collect(),
            Self::Head(_) => [End::Opened, End::Moved, End::Sent].map(|end| (COSTS[1], end)).into(),
        }
    }
}

/// One process on a copy of a state directory.
#[derive(Clone, Debug)]
struct Act {
    found: Found,
    cost: u64,
    end: End,
}

/// What a process leaves behind.
#[derive(Default)]
struct Trace {
    files: BTreeSet<Vec<u8>>,
    heads: BTreeSet<String>,
    sent: Vec<(u64, u64)>,
}

/// Where the state directories of one test are.
struct Ground {
    dir: TempDir,
    next: Mutex<u64>,
    heads: Mutex<HashMap<String, Head>>,
}

impl Ground {
    fn new() -> Self {
        // In memory where there is such a place: the histories are many, and so are their syncs.
        let memory = Path::new("/dev/shm");
        let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        Self { dir: made.unwrap(), next: Mutex::new(0), heads: Mutex::default() }
    }

    fn directory(&self) -> PathBuf {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        self.dir.path().join(next.to_string())
    }

    fn head(&self, name: &str) -> Head {
        self.heads.lock().unwrap()[name]
    }

    /// What the authority may keep of a ledger.
    fn keep_head(&self, ledger: &Ledger) -> Option<String> {
        let head = ledger.head(now())?;
        let name = format!("{head:?}");
        self.heads.lock().unwrap().insert(name.clone(), head);
        Some(name)
    }
}

/// Plays one act and checks what must hold whenever a ledger opens.
fn play(ground: &Ground, chip: &Chip, act: &Act, sent: u64, plan: Plan) -> Trace {
    let path = ground.directory();
    let state = StateDir::create(&path).unwrap();
    if let Found::File(file) = &act.found {
        sealsum_daemon::files::write_private(&state.file(FILE), file).unwrap();
    }
    let mut trace = Trace::default();
    let read = |path: &Path| std::fs::read(path.join(FILE)).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut plan = plan;
    let (before, written, at) = (plan.before.take(), seen.clone(), path.clone());
    plan.before = Some(Box::new(move || {
        written.lock().unwrap().push(std::fs::read(at.join(FILE)).unwrap());
        if let Some(before) = before {
            before();
        }
    }));
    let process = chip.of_process(plan);
    let ledger =
        Ledger::open(&state, &policy(), Box::new(process), Beginning::Again, now()).unwrap();
    if let Found::Head(name) = &act.found {
        ledger.go_on_from(Some(ground.head(name)), now()).unwrap();
        assert!(ledger.head(now()).is_some(), "a head of this device is taken");
    }
    trace.heads.extend(ground.keep_head(&ledger));
    trace.files.insert(read(&path));
    if ledger.disowned().is_none() {
        let counted = ledger.budget(now()).epsilon;
        let left = epsilon(charge(sent));
        assert!(counted + 1e-9 >= left, "{act:?}: {counted} is below {left}, which left");
        if act.end != End::Opened {
            let stepped = ledger.mask("a", Some(charge(act.cost)), now());
            if stepped.is_ok() && act.end == End::Sent {
                trace.sent.push((chip.value(), act.cost));
            }
        }
    }
    trace.heads.extend(ground.keep_head(&ledger));
    trace.files.insert(read(&path));
    trace.files.extend(seen.lock().unwrap().drain(..));
    std::fs::remove_dir_all(path).unwrap();
    trace
}

impl World {
    /// What comes of `act`, with another one in the middle of it.
    fn after(&self, ground: &Arc<Ground>, act: &Act, meddler: Option<(Meddling, Act)>) -> Self {
        let chip = Chip::at(self.counter);
        let others = Arc::new(Mutex::new(Trace::default()));
        let mut plan = Plan {
            killed_before: act.end == End::Written,
            killed_after: act.end == End::Moved,
            ..Plan::default()
        };
        if let Some((when, other)) = meddler {
            let (ground, chip, others) = (ground.clone(), chip.clone(), others.clone());
            let sent = self.sent;
            let meddle: Box<dyn FnOnce() + Send> = Box::new(move || {
                let plan = Plan { killed_after: other.end == End::Moved, ..Plan::default() };
                *others.lock().unwrap() = play(&ground, &chip, &other, sent, plan);
            });
            match when {
                Meddling::Before => plan.before = Some(meddle),
                Meddling::After => plan.after = Some(meddle),
                Meddling::Never => {}
            }
        }
        let trace = play(ground, &chip, act, self.sent, plan);
        let mut next = self.clone();
        next.counter = chip.value();
        for part in [trace, std::mem::take(&mut *others.lock().unwrap())] {
            next.files.extend(part.files);
            next.heads.extend(part.heads);
            for (at, cost) in part.sent {
                assert!(next.sent_at.insert(at), "{act:?}: two left at counter {at}");
                next.sent += cost;
            }
        }
        next
    }

    /// What its next process may find.
    fn finds(&self) -> Vec<Found> {
        let files = self.files.iter().cloned().map(Found::File);
        files.chain(self.heads.iter().cloned().map(Found::Head)).collect()
    }

    /// Every way in which it can go on.
    fn futures(&self, ground: &Arc<Ground>, meddling: &[Meddling], into: &mut HashSet<Self>) {
        for found in self.finds() {
            for (cost, end) in found.acts() {
                let act = Act { found: found.clone(), cost, end };
                for when in meddling {
                    if *when == Meddling::Never {
                        into.insert(self.after(ground, &act, None));
                        continue;
                    }
                    if !matches!(end, End::Moved | End::Sent) {
                        continue;
                    }
                    for found in self.finds() {
                        for end in [End::Opened, End::Moved, End::Sent] {
                            let other = Act { found: found.clone(), cost: COSTS[1], end };
                            into.insert(self.after(ground, &act, Some((*when, other))));
                        }
                    }
                }
            }
        }
    }
}

/// A device that enrolled just now.
fn enrolled(ground: &Ground) -> World {
    let path = ground.directory();
    let state = StateDir::create(&path).unwrap();
    let chip = Chip::at(0);
    let counter = Box::new(chip.clone());
    let ledger = Ledger::open(&state, &policy(), counter, Beginning::New, now()).unwrap();
    let heads = ground.keep_head(&ledger).into_iter().collect();
    let files = BTreeSet::from([std::fs::read(state.file(FILE)).unwrap()]);
    World { counter: chip.value(), files, heads, sent: 0, sent_at: BTreeSet::new() }
}

fn explore(length: usize, meddling: &[Meddling]) -> usize {
    let ground = Arc::new(Ground::new());
    let mut worlds = HashSet::from([enrolled(&ground)]);
    for _ in 0..length {
        let mut next = HashSet::new();
        for world in &worlds {
            world.futures(&ground, meddling, &mut next);
        }
        worlds = next;
    }
    // The last acts are judged by opening what they left.
    for world in &worlds {
        for found in world.finds() {
            let act = Act { found, cost: 0, end: End::Opened };
            play(&ground, &Chip::at(world.counter), &act, world.sent, Plan::default());
        }
    }
    worlds.len()
}

#[test]
fn whatever_is_killed_and_put_back_no_ledger_that_opens_lacks_what_left() {
    let worlds = explore(3, &[Meddling::Never]);
    assert!(worlds > 100, "{worlds} worlds are no exploration");
}

#[test]
fn whoever_meddles_in_a_step_no_two_copies_take_it_and_no_ledger_lacks_what_left() {
    let worlds = explore(2, &[Meddling::Never, Meddling::Before, Meddling::After]);
    assert!(worlds > 100, "{worlds} worlds are no exploration");
}

#[test]
fn a_device_that_is_killed_and_started_again_is_never_refused() {
    let ground = Ground::new();
    let mut worlds = vec![enrolled(&ground)];
    for _ in 0..4 {
        let mut next = Vec::new();
        for world in worlds {
            for end in ENDS {
                let newest = world.files.first().unwrap().clone();
                let chip = Chip::at(world.counter);
                let plan = Plan {
                    killed_before: end == End::Written,
                    killed_after: end == End::Moved,
                    ..Plan::default()
                };
                let path = ground.directory();
                let state = StateDir::create(&path).unwrap();
                sealsum_daemon::files::write_private(&state.file(FILE), &newest).unwrap();
                let counter = Box::new(chip.of_process(plan));
                let ledger =
                    Ledger::open(&state, &policy(), counter, Beginning::Again, now()).unwrap();
                assert_eq!(ledger.disowned().map(|why| why.message), None, "after {end:?}");
                if end != End::Opened {
                    let _ = ledger.mask("a", Some(charge(COSTS[0])), now());
                }
                let files = BTreeSet::from([std::fs::read(state.file(FILE)).unwrap()]);
                next.push(World { counter: chip.value(), files, ..world.clone() });
            }
        }
        worlds = next;
    }
}
