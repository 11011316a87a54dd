//! A run of the tool: a staging authority, an aggregator, devices, and one round after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use sealsum_daemon::Failure;
use sealsum_daemon::cli::Format;
use sealsum_daemon::codes;
use sealsum_protocol::signature::PublicKey;
use serde_json::Value;

use crate::aggregator::{Aggregator, Program};
use crate::crowd::Crowd;
use crate::device::{DeviceError, Home};
use crate::judge::{Observed, Verdict, judge};
use crate::report::{self, Report, RoundReport};
use crate::rosters::{Checks, Rosters};
use crate::scenario::{Case, Scenario, cases};
use crate::scratch::Scratch;
use crate::staging::{Settings, Staging};
use crate::task::{Size, TaskText, Terms, longest_s, task};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Request {
    /// What happens in the rounds.
    pub scenario: Scenario,
    /// How many devices, how long vectors.
    pub size: Size,
    /// How many rounds; each kind of the scenario once if that is not said.
    pub rounds: Option<usize>,
    /// What all follows from; drawn if it is not said.
    pub seed: Option<u64>,
    /// The program; the one beside this one if that is not said.
    pub program: Option<PathBuf>,
    /// The directory of a staging authority and that of an aggregator, both the operator's.
    pub operators: Option<(PathBuf, PathBuf)>,
    /// Who verifies rosters.
    pub checks: Checks,
    /// How lines are printed.
    pub format: Format,
}

/// Rounds at a time: most of the time of a round with losses is waiting for those who are lost.
const LANES: usize = 5;
/// Devices at a time, over all lanes, unless one round has more.
const DEVICES_AT_ONCE: usize = 60;

/// Runs it, printing a line for each round.
///
/// # Errors
/// When no round can be run: the authority or the aggregator does not start, or is not staging.
pub fn run(request: &Request) -> Result<Report, Failure> {
    sealsum_daemon::allow_many_files();
    let seed = match request.seed {
        Some(seed) => seed,
        None => drawn_seed()?,
    };
    let cases = cases(request.scenario, request.size, request.rounds, seed)?;
    let program = Program::find(request.program.as_deref())?;
    let scratch = Scratch::new(request.format)?;
    let (staging, aggregator) = start(request, program, scratch.path())?;
    let stage = Stage::set(request, seed, &cases, &staging, aggregator)?;
    let rounds = stage.play(cases)?;
    let report = Report::new(request.scenario, request.size, seed, rounds);
    Ok(report.with(stage.aggregator.memory(), &stage.home.rosters))
}

fn start(
    request: &Request,
    program: Program,
    scratch: &Path,
) -> Result<(Staging, Aggregator), Failure> {
    let Some((dir, aggregator)) = &request.operators else {
        let anywhere = Settings { listen: ([127, 0, 0, 1], 0).into(), host: None };
        let staging = Staging::create_or_open(&scratch.join("authority"), &anywhere)?;
        let aggregator = Aggregator::launch(program, &staging, scratch)?;
        return Ok((staging, aggregator));
    };
    let staging = Staging::open(dir)?;
    let aggregator = Aggregator::of_operator(program, aggregator, &staging, scratch)?;
    Ok((staging, aggregator))
}

fn drawn_seed() -> Result<u64, Failure> {
    let [a, b, c, d, ..] = crate::fleet::random()?;
    Ok(u32::from_le_bytes([a, b, c, d]).into())
}

/// All that the rounds need.
struct Stage<'a> {
    request: &'a Request,
    home: Arc<Home>,
    aggregator: Aggregator,
    /// Names of the tasks by lane and terms.
    tasks: BTreeMap<(usize, Terms), String>,
    lanes: usize,
}

impl<'a> Stage<'a> {
    fn set(
        request: &'a Request,
        seed: u64,
        cases: &[Case],
        staging: &Staging,
        aggregator: Aggregator,
    ) -> Result<Self, Failure> {
        let size = request.size;
        let lanes = (DEVICES_AT_ONCE / size.devices).clamp(1, LANES).min(cases.len());
        let terms: BTreeSet<Terms> = cases.iter().map(|case| case.terms).collect();
        let mut texts = BTreeMap::new();
        for lane in 0..lanes {
            let of_lane = terms.iter().map(|terms| ((lane, *terms), task(size, *terms, lane)));
            texts.extend(of_lane);
        }
        let owner = register(&aggregator, texts.values())?;
        let names: Vec<String> = texts.values().map(|text| text.name.clone()).collect();
        let (fleet, address) = (Arc::clone(&staging.keys), aggregator.address.clone());
        let mut home = Home::new(fleet, &address, owner, &names, seed)?;
        home.rosters = Rosters::new(request.checks);
        let home = Arc::new(home);
        let tasks = texts.into_iter().map(|(key, text)| (key, text.name)).collect();
        Ok(Self { request, home, aggregator, tasks, lanes })
    }

    fn play(&self, cases: Vec<Case>) -> Result<Vec<RoundReport>, Failure> {
        let queue = Mutex::new(VecDeque::from(cases));
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let (stage, queue, done) = (self, &queue, &done);
            let lanes: Vec<_> = (0..stage.lanes)
                .map(|lane| scope.spawn(move || stage.play_lane(lane, queue, done)))
                .collect();
            let ended = lanes.into_iter().map(|lane| {
                lane.join().unwrap_or_else(|_| Err(Failure::bug("a lane of rounds panicked")))
            });
            ended.collect::<Vec<_>>().into_iter().collect::<Result<(), Failure>>()
        })?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn play_lane(
        &self,
        lane: usize,
        queue: &Mutex<VecDeque<Case>>,
        done: &Mutex<Vec<RoundReport>>,
    ) -> Result<(), Failure> {
        let devices = self.request.size.devices;
        let first = u32::try_from(1 + lane * devices).unwrap_or(u32::MAX);
        let mut crowd = Crowd::gather(&self.home, first, devices).map_err(unreachable)?;
        loop {
            // In a statement of its own, so that the queue is free while the round runs.
            let next = lock(queue).pop_front();
            let Some(case) = next else { return Ok(()) };
            let report = self.play_case(lane, &mut crowd, &case);
            report::print(self.request.format, self.request.scenario, &report);
            lock(done).push(report);
        }
    }

    fn play_case(&self, lane: usize, crowd: &mut Crowd, case: &Case) -> RoundReport {
        let began = Instant::now();
        let task = self.tasks.get(&(lane, case.terms)).map_or("", String::as_str);
        let (mut round, mut steps) = (None, Value::Null);
        let verdict = self.play_round(task, crowd, case, &mut round, &mut steps);
        let verdict = verdict.unwrap_or_else(|failure| Verdict {
            outcome: "it could not be run".to_owned(),
            wrong: vec![failure.to_string()],
        });
        RoundReport {
            number: case.number,
            what: case.what.clone(),
            round,
            as_expected: verdict.wrong.is_empty(),
            outcome: verdict.outcome,
            wrong: verdict.wrong,
            seconds: began.elapsed().as_millis() as f64 / 1000.0,
            steps,
        }
    }

    fn play_round(
        &self,
        task: &str,
        crowd: &mut Crowd,
        case: &Case,
        opened: &mut Option<String>,
        steps: &mut Value,
    ) -> Result<Verdict, Failure> {
        let round = self.aggregator.start_round(task)?;
        *opened = Some(round.clone());
        let id = round.parse().map_err(|_| Failure::bug(format!("round {round}: no id")))?;
        let experiences = crowd.take_part(id, &case.parts).map_err(unreachable)?;
        let record = self.aggregator.record_at_end(&round, longest_s(self.request.size))?;
        steps.clone_from(&record["seconds"]);
        let finished = record["state"] == "finished";
        let sum = finished.then(|| self.aggregator.sum(&round)).transpose()?;
        Ok(judge(case, &Observed::of(&record, sum, &crowd.ids()), &experiences))
    }
}

fn register<'a>(
    aggregator: &Aggregator,
    texts: impl Iterator<Item = &'a TaskText>,
) -> Result<PublicKey, Failure> {
    let mut owner = None;
    for text in texts {
        owner = Some(aggregator.register(text)?);
    }
    owner.ok_or_else(|| Failure::new(codes::USAGE, "--rounds: there is none", "--rounds 1"))
}

fn unreachable(error: DeviceError) -> Failure {
    let hint = "sealsum-aggregator status, and its log";
    Failure::new(codes::UNREACHABLE, format!("devices: {error}"), hint)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
