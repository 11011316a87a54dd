//! Updates that wait for their round, encrypted at rest, one per task.
//!
//! A file is a JSON line of what may be known about the update ([`Waiting`]) and the vector,
//! encrypted under the key sealed in the TPM. The associated data are the device and the whole
//! first line, so neither a file nor a line can be moved to another device, task, round or receipt.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use std::sync::Arc;

use jiff::Timestamp;
use sealsum_attest_tpm::Vault;
use sealsum_daemon::{Failure, codes, files};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::intake::Vector;
use crate::rounds::Reason;
use crate::state::StateDir;

const DIRECTORY: &str = "pending";
const RECEIPTS: &str = "receipts.json";
const PURPOSE: &str = "pending";
const LINE_MAX: u64 = 4096;
/// 2^26 coordinates of 8 bytes, and the line in front.
const FILE_MAX: u64 = (8 << 26) + LINE_MAX;
/// Tasks with an update that waits: an application that invents names must not fill the disk.
const WAITING_MAX: usize = 256;
/// Receipts remembered, newest first to go last.
const RECEIPTS_MAX: usize = 1000;

/// What encrypts at rest: the key sealed in the TPM, which also names the device.
pub trait Sealer: Send + Sync {
    /// Encrypts `plain` so that it opens with the same `context` only.
    ///
    /// # Errors
    /// If there are no random bytes.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Failure>;

    /// Decrypts; `None` if anything is not as it was.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}

impl Sealer for Vault {
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Failure> {
        self.encrypt(PURPOSE, context, plain).map_err(|error| crate::device::tpm_failure(&error))
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.decrypt(PURPOSE, context, sealed).ok()
    }
}

/// What an application hands in.
pub struct Submission {
    /// The task it is for.
    pub task: String,
    /// The round it answers; any if absent.
    pub round: Option<u64>,
    /// Its weight, for tasks that have weights.
    pub weight: Option<u32>,
    /// The number of the data that it was made from, if the application numbers its data.
    pub data_epoch: Option<u64>,
    /// The coordinates.
    pub vector: Vector,
}

/// An update that waits, as far as it is no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The task it is for.
    pub task: String,
    /// Names this submission.
    pub receipt: String,
    /// When it came.
    pub since: Timestamp,
    /// The round it answers; any if null.
    pub round: Option<u64>,
    /// Its weight.
    pub weight: Option<u32>,
    /// The number of its data.
    #[serde(default)]
    pub data_epoch: Option<u64>,
}

impl Waiting {
    /// Whether it answers round `number`: one for a model must name the round.
    pub fn answers(&self, number: u64, has_model: bool) -> bool {
        self.round.map_or(!has_model, |round| round == number)
    }

    /// Whether no round after `number` can take it.
    pub fn is_over_with(&self, number: u64) -> bool {
        self.round.is_some_and(|round| round <= number)
    }
}

/// How far an update got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for a round.
    Queued,
    /// Its masked form left the device.
    Consumed,
    /// Its round ended, or it was replaced by a newer update.
    Finished,
}

/// What `GET /v1/updates/RECEIPT` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Names the submission.
    pub receipt: String,
    /// The task it was for.
    pub task: String,
    /// How far it got.
    pub state: Progress,
    /// Id of the round that took it; null while none did.
    pub round: Option<String>,
    /// Why the last round did not take it or did not end well; null if none did.
    pub reason: Option<Reason>,
}

/// The updates that wait and the receipts of those that do not.
pub struct Pending {
    state: StateDir,
    directory: PathBuf,
    sealer: Arc<dyn Sealer>,
    receipts: VecDeque<Receipt>,
}

impl Pending {
    /// Opens the store with what encrypts it.
    ///
    /// # Errors
    /// As [`StateDir::read`] and [`StateDir::directory`].
    pub fn open(state: &StateDir, sealer: Arc<dyn Sealer>) -> Result<Self, Failure> {
        Ok(Self {
            state: state.clone(),
            directory: state.directory(DIRECTORY)?,
            sealer,
            receipts: state.read(RECEIPTS)?.unwrap_or_default(),
        })
    }

    /// Stores an update, in place of an earlier one for the same task that still waits.
    ///
    /// # Errors
    /// `refused` if too many tasks have one; `file_write`.
    pub fn put(&mut self, submission: &Submission, now: Timestamp) -> Result<Receipt, Failure> {
        let earlier = self.waiting(&submission.task)?;
        if earlier.is_none() && tasks_in(&self.directory).len() >= WAITING_MAX {
            return Err(Failure::new(
                codes::REFUSED,
                format!("task {}: updates of {WAITING_MAX} tasks wait already", submission.task),
                "check the names of the tasks; sealsum-agent status lists what waits",
            ));
        }
        let waiting = Waiting {
            task: submission.task.clone(),
            receipt: new_receipt()?,
            since: now,
            round: submission.round,
            weight: submission.weight,
            data_epoch: submission.data_epoch,
        };
        let sealed = self.seal(&waiting, &submission.vector)?;
        if let Some(earlier) = earlier {
            let reason = Reason {
                code: "replaced".into(),
                message: "a newer update for the same task came before a round".into(),
            };
            self.settle(&earlier.receipt, Progress::Finished, None, Some(reason))?;
        }
        files::write_private(&self.path(&submission.task), &sealed)?;
        let receipt = Receipt {
            receipt: waiting.receipt,
            task: waiting.task,
            state: Progress::Queued,
            round: None,
            reason: None,
        };
        self.receipts.push_back(receipt.clone());
        while self.receipts.len() > RECEIPTS_MAX {
            self.receipts.pop_front();
        }
        self.save_receipts()?;
        Ok(receipt)
    }

    /// The update that waits for a round of `task`, without its vector.
    ///
    /// # Errors
    /// `file_format` if the file is damaged.
    pub fn waiting(&self, task: &str) -> Result<Option<Waiting>, Failure> {
        let path = self.path(task);
        if !path.exists() {
            return Ok(None);
        }
        read_line(&path).map(Some)
    }

    /// All that wait and whose line can be read, by task.
    pub fn list(&self) -> Vec<Waiting> {
        let tasks = tasks_in(&self.directory);
        tasks.iter().filter_map(|task| self.waiting(task).ok().flatten()).collect()
    }

    /// Goes on with another sealer: what waits is sealed anew. What does not open is left for
    /// [`Pending::drop_unreadable`].
    ///
    /// # Errors
    /// `file_write`; then some updates may be lost, which their receipts will say.
    pub fn reseal(&mut self, sealer: Arc<dyn Sealer>) -> Result<(), Failure> {
        let tasks = tasks_in(&self.directory);
        let open: Vec<(Waiting, Vector)> =
            tasks.iter().filter_map(|task| self.load(task).ok().flatten()).collect();
        self.sealer = sealer;
        for (waiting, vector) in open {
            files::write_private(&self.path(&waiting.task), &self.seal(&waiting, &vector)?)?;
        }
        Ok(())
    }

    /// Drops what cannot be read: sealed under keys that a new enrolment replaced, or damaged.
    ///
    /// # Errors
    /// `file_write`.
    pub fn drop_unreadable(&mut self) -> Result<(), Failure> {
        for task in tasks_in(&self.directory) {
            if let Err(failure) = self.load(&task) {
                tracing::warn!(task, "a waiting update is dropped: {}", failure.message);
                self.discard(&task, Reason::from(&failure))?;
            }
        }
        Ok(())
    }

    /// The coordinates of the update that waits for `task`.
    ///
    /// # Errors
    /// `file_format` if the file was changed, or sealed under another device or key.
    pub fn load(&self, task: &str) -> Result<Option<(Waiting, Vector)>, Failure> {
        let path = self.path(task);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read_private(&path, FILE_MAX)?;
        let (waiting, rest) = split(&path, &bytes)?;
        let line = &bytes[..bytes.len() - rest.len()];
        let plain = self.sealer.open(line, rest).ok_or_else(|| damaged(&path))?;
        if waiting.task != task || plain.len() % 8 != 0 {
            return Err(damaged(&path));
        }
        let values = plain.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
        Ok(Some((waiting, Zeroizing::new(values))))
    }

    /// Deletes an update whose masked form leaves the device now. A newer one that came meanwhile
    /// stays.
    ///
    /// # Errors
    /// `file_write`; then nothing may leave.
    pub fn consume(&mut self, waiting: &Waiting, round: &str) -> Result<(), Failure> {
        if self.waiting(&waiting.task)?.is_some_and(|now| now.receipt == waiting.receipt) {
            files::remove(&self.path(&waiting.task))?;
        }
        self.settle(&waiting.receipt, Progress::Consumed, Some(round), None)
    }

    /// Notes how the round went that took an update.
    ///
    /// # Errors
    /// `file_write`.
    pub fn finish(&mut self, receipt: &str, reason: Option<Reason>) -> Result<(), Failure> {
        self.settle(receipt, Progress::Finished, None, reason)
    }

    /// Notes why a round did not take the update that waits for `task`; it goes on waiting.
    ///
    /// # Errors
    /// `file_write`.
    pub fn passed_over(&mut self, task: &str, reason: Reason) -> Result<(), Failure> {
        let Some(waiting) = self.waiting(task)? else { return Ok(()) };
        self.settle(&waiting.receipt, Progress::Queued, None, Some(reason))
    }

    /// The receipt of this name.
    pub fn receipt(&self, name: &str) -> Option<&Receipt> {
        self.receipts.iter().find(|receipt| receipt.receipt == name)
    }

    /// Removes an update that this device can no longer read or use.
    ///
    /// # Errors
    /// `file_write`.
    pub fn discard(&mut self, task: &str, reason: Reason) -> Result<(), Failure> {
        let receipt = self.waiting(task).ok().flatten().map(|waiting| waiting.receipt);
        files::remove(&self.path(task))?;
        match receipt {
            Some(receipt) => self.finish(&receipt, Some(reason)),
            None => Ok(()),
        }
    }

    fn settle(
        &mut self,
        name: &str,
        state: Progress,
        round: Option<&str>,
        reason: Option<Reason>,
    ) -> Result<(), Failure> {
        let Some(receipt) = self.receipts.iter_mut().find(|r| r.receipt == name) else {
            return Ok(());
        };
        receipt.state = state;
        receipt.reason = reason;
        if let Some(round) = round {
            receipt.round = Some(round.to_owned());
        }
        self.save_receipts()
    }

    fn seal(&self, waiting: &Waiting, vector: &[f64]) -> Result<Vec<u8>, Failure> {
        let mut file = serde_json::to_vec(waiting)
            .map_err(|error| Failure::bug(format!("pending: cannot be written: {error}")))?;
        file.push(b'\n');
        let plain: Zeroizing<Vec<u8>> =
            Zeroizing::new(vector.iter().flat_map(|value| value.to_le_bytes()).collect());
        let sealed = self.sealer.seal(&file, &plain)?;
        file.extend_from_slice(&sealed);
        Ok(file)
    }

    fn path(&self, task: &str) -> PathBuf {
        self.directory.join(task)
    }

    fn save_receipts(&self) -> Result<(), Failure> {
        self.state.write(RECEIPTS, &self.receipts)
    }
}

/// Removes every update, and what a write that was cut left behind.
///
/// # Errors
/// `file_write`.
pub fn remove_all(state: &StateDir) -> Result<(), Failure> {
    let directory = state.file(DIRECTORY);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        files::remove(&entry.path())?;
    }
    Ok(())
}

/// The tasks that have a file. Temporary files of a write that was cut begin with a dot.
fn tasks_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut tasks: Vec<String> = names.filter(|name| crate::tasks::is_name(name)).collect();
    tasks.sort();
    tasks
}

/// The first line alone: a status must not read a vector.
fn read_line(path: &Path) -> Result<Waiting, Failure> {
    let mut line = Vec::new();
    File::open(path)
        .and_then(|file| BufReader::new(file.take(LINE_MAX)).read_until(b'\n', &mut line))
        .map_err(|_| damaged(path))?;
    Ok(split(path, &line)?.0)
}

/// The first line, parsed, and what follows it.
fn split<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Waiting, &'a [u8]), Failure> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged(path))?;
    let waiting = serde_json::from_slice(&bytes[..end]).map_err(|_| damaged(path))?;
    Ok((waiting, &bytes[end + 1..]))
}

fn damaged(path: &Path) -> Failure {
    Failure::new(
        codes::FILE_FORMAT,
        format!("{}: changed on disk, or sealed by another TPM", path.display()),
        "delete the file and submit the update again",
    )
}

fn new_receipt() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    crate::random::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit};

    /// A key in memory instead of a TPM.
    struct Key {
        device: &'static str,
        cipher: ChaCha20Poly1305,
    }

    impl Key {
        fn associated(&self, context: &[u8]) -> Vec<u8> {
            [self.device.as_bytes(), context].concat()
        }
    }

    impl Sealer for Key {
        fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Failure> {
            let payload = Payload { msg: plain, aad: &self.associated(context) };
            Ok(self.cipher.encrypt(&Default::default(), payload).unwrap())
        }

        fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
            let payload = Payload { msg: sealed, aad: &self.associated(context) };
            self.cipher.decrypt(&Default::default(), payload).ok().map(Zeroizing::new)
        }
    }

    fn key(device: &'static str, byte: u8) -> Arc<dyn Sealer> {
        Arc::new(Key { device, cipher: ChaCha20Poly1305::new(&[byte; 32].into()) })
    }

    struct Fixture {
        _dir: tempfile::TempDir,
        state: StateDir,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::create(&dir.path().join("state")).unwrap();
            Self { _dir: dir, state }
        }

        fn open(&self) -> Pending {
            Pending::open(&self.state, key("device", 7)).unwrap()
        }
    }

    fn submission(values: &[f64]) -> Submission {
        Submission {
            task: "penguins".into(),
            round: Some(3),
            weight: None,
            data_epoch: None,
            vector: Zeroizing::new(values.to_vec()),
        }
    }

    /// Every byte of every file below `dir`.
    fn all_bytes(dir: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                bytes.extend(all_bytes(&entry.path()));
            } else {
                bytes.extend(fs::read(entry.path()).unwrap());
            }
        }
        bytes
    }

    #[test]
    fn an_update_survives_a_restart_and_is_nowhere_in_plain() {
        let fixture = Fixture::new();
        let value = 0.123_456_789_f64;
        let receipt = fixture.open().put(&submission(&[value; 4]), Timestamp::UNIX_EPOCH).unwrap();
        let (waiting, vector) = fixture.open().load("penguins").unwrap().unwrap();
        assert_eq!((waiting.receipt, waiting.round), (receipt.receipt, Some(3)));
        assert_eq!(*vector, [value; 4]);
        let disk = all_bytes(fixture.state.path());
        let plain = value.to_le_bytes();
        assert!(!disk.windows(8).any(|window| window == plain), "the value is on disk");
        assert!(
            disk.windows(8).any(|window| window == b"penguins"),
            "the search finds what is there"
        );
    }

    #[test]
    fn a_file_is_good_for_one_device_task_round_and_key_only() {
        let fixture = Fixture::new();
        let pending = {
            let mut pending = fixture.open();
            pending.put(&submission(&[1.0]), Timestamp::UNIX_EPOCH).unwrap();
            pending
        };
        let path = pending.path("penguins");
        let good = fs::read(&path).unwrap();
        let refused = |pending: &Pending| {
            assert_eq!(pending.load("penguins").unwrap_err().code, codes::FILE_FORMAT);
        };
        refused(&Pending::open(&fixture.state, key("another", 7)).unwrap());
        refused(&Pending::open(&fixture.state, key("device", 8)).unwrap());
        let text = String::from_utf8_lossy(&good).into_owned();
        assert!(text.contains("\"round\":3"));
        let at = text.find("\"round\":3").unwrap() + 8;
        for position in [at, good.len() - 1, good.len() - 30] {
            let mut bad = good.clone();
            bad[position] ^= 1;
            files::write_private(&path, &bad).unwrap();
            refused(&pending);
        }
        files::write_private(&path, &good).unwrap();
        fs::copy(&path, pending.path("histogram")).unwrap();
        assert_eq!(pending.load("histogram").unwrap_err().code, codes::FILE_FORMAT);
        assert!(pending.load("penguins").unwrap().is_some());
    }

    #[test]
    fn a_consumed_update_is_gone_and_its_receipt_is_not() {
        let fixture = Fixture::new();
        let mut pending = fixture.open();
        let receipt = pending.put(&submission(&[1.0]), Timestamp::UNIX_EPOCH).unwrap().receipt;
        let waiting = pending.waiting("penguins").unwrap().unwrap();
        pending.consume(&waiting, "round id").unwrap();
        assert_eq!(pending.load("penguins").unwrap(), None);
        let mut pending = fixture.open();
        assert_eq!(pending.receipt(&receipt).unwrap().state, Progress::Consumed);
        pending.finish(&receipt, None).unwrap();
        let receipt = fixture.open().receipt(&receipt).unwrap().clone();
        assert_eq!(receipt.state, Progress::Finished);
        assert_eq!(receipt.round.as_deref(), Some("round id"));
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_the_rest_stays() {
        let fixture = Fixture::new();
        let mut pending = fixture.open();
        let named = |name: &str| Submission { task: name.into(), ..submission(&[1.0]) };
        let lost = pending.put(&named("damaged"), Timestamp::UNIX_EPOCH).unwrap().receipt;
        pending.put(&named("good"), Timestamp::UNIX_EPOCH).unwrap();
        let path = pending.path("damaged");
        let bytes = fs::read(&path).unwrap();
        files::write_private(&path, &bytes[..bytes.len() - 1]).unwrap();
        pending.put(&named("shapeless"), Timestamp::UNIX_EPOCH).unwrap();
        files::write_private(&pending.path("shapeless"), b"no line").unwrap();
        pending.drop_unreadable().unwrap();
        assert_eq!(pending.list().len(), 1);
        assert_eq!(pending.list()[0].task, "good");
        assert_eq!(pending.receipt(&lost).unwrap().state, Progress::Finished);
    }

    #[test]
    fn invented_names_do_not_fill_the_disk() {
        let fixture = Fixture::new();
        let mut pending = fixture.open();
        let named = |name: usize| Submission { task: format!("t{name}"), ..submission(&[1.0]) };
        for name in 0..WAITING_MAX {
            pending.put(&named(name), Timestamp::UNIX_EPOCH).unwrap();
        }
        let failure = pending.put(&named(WAITING_MAX), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(failure.code, codes::REFUSED);
        pending.put(&named(7), Timestamp::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn the_newer_update_wins_and_the_older_receipt_says_so() {
        let fixture = Fixture::new();
        let mut pending = fixture.open();
        let old = pending.put(&submission(&[1.0]), Timestamp::UNIX_EPOCH).unwrap().receipt;
        let new = pending.put(&submission(&[2.0]), Timestamp::UNIX_EPOCH).unwrap().receipt;
        assert_eq!(pending.list().len(), 1);
        assert_eq!(*pending.load("penguins").unwrap().unwrap().1, [2.0]);
        let receipt = pending.receipt(&old).unwrap();
        assert_eq!(receipt.state, Progress::Finished);
        assert_eq!(receipt.reason.as_ref().unwrap().code, "replaced");
        assert_eq!(pending.receipt(&new).unwrap().state, Progress::Queued);
    }
}
