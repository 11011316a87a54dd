//! One thread that owns the TPM, and a deadline on every call.
//!
//! The TPM library blocks until the TPM answers and a hung TPM never does, so the calls run on a
//! thread of their own and the callers wait for it no longer than the deadline. The thread is
//! never joined: a process can always end. When the TPM answers again, or is there again after a
//! restart, the thread connects anew and goes on.

use crate::connection::Connection;
use crate::error::{TpmError, during};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{debug, warn};
use tss_esapi::Context;
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::CapabilityData;

/// Longest wait for one operation, all its TPM commands together: a hung TPM is an error within
/// 10 s, scheduling on a busy machine included.
const DEADLINE: Duration = Duration::from_secs(8);
/// Longest wait for an operation that makes an RSA key from its seed, which takes some hardware
/// TPMs many seconds. The TPM must have answered something else just before.
const SLOW_DEADLINE: Duration = Duration::from_secs(60);
/// Operations that may wait for the thread; more are refused at once.
const QUEUE: usize = 64;
/// Pauses before another attempt when all slots of the TPM are taken, or it asks for patience.
const BACK_OFF: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(320),
    Duration::from_millis(1280),
];

/// A TPM. Cheap to clone; all clones share the one thread.
#[derive(Clone)]
pub struct Tpm {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    deadline: Duration,
    jobs: SyncSender<Job>,
}

struct Job {
    run: Box<dyn FnOnce(&mut Link) + Send>,
    expires: Instant,
}

/// What the TPM says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Four letters of the maker, as in the TCG vendor list (`IBM ` for swtpm).
    pub manufacturer: String,
    /// The two firmware version words.
    pub firmware: [u32; 2],
    /// Failed authorisations that count towards the dictionary-attack lockout.
    pub lockout_counter: u32,
    /// Whether the TPM is in that lockout.
    pub locked_out: bool,
}

impl Tpm {
    /// A TPM that is connected to with the first call.
    pub fn new(connection: Connection) -> Self {
        Self::with_deadline(connection, DEADLINE)
    }

    /// The same with another deadline for every operation.
    pub fn with_deadline(connection: Connection, deadline: Duration) -> Self {
        let (jobs, inbox) = sync_channel(QUEUE);
        let link = Link { connection: connection.clone(), context: None };
        thread::spawn(move || serve(link, &inbox));
        Self { shared: Arc::new(Shared { connection, deadline, jobs }) }
    }

    /// The connection string.
    pub fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    /// Asks the TPM who it is; the cheapest way to learn whether it answers.
    ///
    /// # Errors
    /// [`TpmError::Unreachable`], [`TpmError::NoAnswer`].
    pub fn properties(&self) -> Result<Properties, TpmError> {
        self.run(read_properties)
    }

    /// Runs `job` on the TPM's thread. It may run several times, when the TPM had no free slot.
    pub(crate) fn run<T, F>(&self, job: F) -> Result<T, TpmError>
    where
        T: Send + 'static,
        F: FnMut(&mut Context) -> Result<T, TpmError> + Send + 'static,
    {
        self.run_within(self.shared.deadline, job)
    }

    /// The same for what takes a healthy TPM long, once it has shown that it is healthy.
    pub(crate) fn run_slow<T, F>(&self, job: F) -> Result<T, TpmError>
    where
        T: Send + 'static,
        F: FnMut(&mut Context) -> Result<T, TpmError> + Send + 'static,
    {
        self.properties()?;
        self.run_within(SLOW_DEADLINE, job)
    }

    fn run_within<T, F>(&self, limit: Duration, mut job: F) -> Result<T, TpmError>
    where
        T: Send + 'static,
        F: FnMut(&mut Context) -> Result<T, TpmError> + Send + 'static,
    {
        let (answer, result) = sync_channel(1);
        let expires = Instant::now() + limit;
        let run = Box::new(move |link: &mut Link| {
            // The caller may have given up meanwhile; then the result is dropped here.
            let _ = answer.send(link.attempt(&mut job, expires));
        });
        let sent = self.shared.jobs.try_send(Job { run, expires });
        match sent {
            Ok(()) => result.recv_timeout(self.shared.deadline).unwrap_or(Err(self.no_answer())),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(self.no_answer()),
        }
    }

    fn no_answer(&self) -> TpmError {
        TpmError::NoAnswer { tcti: self.shared.connection.to_string(), limit: self.shared.deadline }
    }
}

impl fmt::Debug for Tpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tpm({})", self.shared.connection)
    }
}

/// The connection as the thread sees it: open, or to be opened for the next job.
struct Link {
    connection: Connection,
    context: Option<Context>,
}

impl Link {
    /// Runs the job, again while the TPM is full or busy and time remains. After an error nothing of
    /// the connection is trusted: the next job gets a new one.
    fn attempt<T>(
        &mut self,
        job: &mut dyn FnMut(&mut Context) -> Result<T, TpmError>,
        expires: Instant,
    ) -> Result<T, TpmError> {
        for pause in BACK_OFF {
            let result = self.attempt_once(job);
            let passes = result.as_ref().is_err_and(TpmError::passes);
            if !passes || Instant::now() + pause > expires {
                return result;
            }
            thread::sleep(pause);
        }
        self.attempt_once(job)
    }

    fn attempt_once<T>(
        &mut self,
        job: &mut dyn FnMut(&mut Context) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => self.connection.open()?,
        };
        context.clear_sessions();
        match job(&mut context) {
            Ok(result) => {
                self.context = Some(context);
                Ok(result)
            }
            Err(error) => Err(self.unreachable_or(error, &mut context)),
        }
    }

    /// Whether the TPM refused something or is not there at all: it is asked something that it
    /// never refuses.
    fn unreachable_or(&self, error: TpmError, context: &mut Context) -> TpmError {
        debug!(%error, "TPM operation failed");
        match (error, context.execute_without_session(|context| context.get_random(1))) {
            (error, Ok(_)) => error,
            (TpmError::Failed { reason, .. }, Err(_)) => self.unreachable(reason),
            (_, Err(error)) => self.unreachable(error.to_string()),
        }
    }

    fn unreachable(&self, reason: String) -> TpmError {
        TpmError::Unreachable { tcti: self.connection.to_string(), reason }
    }
}

fn serve(mut link: Link, inbox: &Receiver<Job>) {
    for job in inbox {
        if Instant::now() < job.expires {
            // A panic of the library's wrapper must not end the thread for everybody.
            let run = AssertUnwindSafe(|| (job.run)(&mut link));
            if catch_unwind(run).is_err() {
                link.context = None;
            }
        }
        if Instant::now() > job.expires {
            warn!(tpm = %link.connection, "the TPM answered after the deadline; connecting anew");
            link.context = None;
        }
    }
}

fn read_properties(context: &mut Context) -> Result<Properties, TpmError> {
    const IN_LOCKOUT: u32 = 1 << 9;
    let mut property = |tag| read_property(context, tag);
    let manufacturer = property(PropertyTag::Manufacturer)?.to_be_bytes();
    Ok(Properties {
        manufacturer: String::from_utf8_lossy(&manufacturer).trim_end_matches(['\0', ' ']).into(),
        firmware: [
            property(PropertyTag::FirmwareVersion1)?,
            property(PropertyTag::FirmwareVersion2)?,
        ],
        lockout_counter: property(PropertyTag::LockoutCounter)?,
        locked_out: property(PropertyTag::Permanent)? & IN_LOCKOUT != 0,
    })
}

/// Asks the TPM each time; the library's own function answers from memory, also for a TPM that
/// is gone.
fn read_property(context: &mut Context, tag: PropertyTag) -> Result<u32, TpmError> {
    let (data, _) = context
        .execute_without_session(|context| {
            context.get_capability(CapabilityType::TpmProperties, tag.into(), 1)
        })
        .map_err(during("reading its properties"))?;
    let CapabilityData::TpmProperties(properties) = data else { return Ok(0) };
    let found = properties.into_iter().find(|property| property.property() == tag);
    Ok(found.map_or(0, |property| property.value()))
}
