//! What an owner does, on a machine that need not be the aggregator's.

use std::path::{Path, PathBuf};

use sealsum_daemon::cli::Shown;
use sealsum_daemon::{Failure, config, files};
use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::signature::PublicKey;
use sealsum_protocol::task::{Grant, ModelRule, SignedTask, Task, TaskFile};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Endpoint;
use super::plan::Plan;
use crate::models::MODEL_LIMIT;
use crate::store::Store;
use crate::{codes, owner, tasks};

/// Longest task file, in bytes.
const TASK_FILE_LIMIT: u64 = 64 * 1024;

/// `owner create`.
#[derive(Debug, Serialize)]
pub struct OwnerKey {
    /// The public half, `ed25519:BASE64`.
    pub owner: PublicKey,
}

/// `task sign`.
#[derive(Debug, Serialize)]
pub struct Signed {
    /// The task's name.
    pub task: String,
    /// Its version.
    pub version: u32,
    /// Its hash.
    pub task_sha256: Hash,
    /// Whose signature it carries.
    pub owner: PublicKey,
    /// Width of the ring, frozen from here on.
    pub ring_bits: u8,
    /// The file written.
    pub file: PathBuf,
}

/// `task grant`.
#[derive(Debug, Serialize)]
pub struct Granted {
    /// Hash of the task.
    pub task_sha256: Hash,
    /// The round.
    pub number: u64,
    /// The model that the round starts from.
    pub model_sha256: Hash,
    /// The file written.
    pub file: PathBuf,
}

/// What `task grant` is given.
#[derive(Debug)]
pub struct GrantRequest {
    /// A signed task file, or the name of a task of the aggregator's directory.
    pub task: String,
    /// The round.
    pub number: u64,
    /// The model.
    pub model: PathBuf,
    /// The owner's secret key.
    pub owner_key: PathBuf,
    /// Where to write the grant.
    pub out: PathBuf,
}

/// Makes an owner's key.
///
/// # Errors
/// `file_exists`, `file_write`.
pub fn owner_create(out: &Path) -> Result<Shown<OwnerKey>, Failure> {
    let owner = owner::create(out)?;
    Ok(Shown::new(OwnerKey { owner }, owner.to_string()))
}

/// Signs a task file.
///
/// # Errors
/// When the file is no task, its values are out of range or overflow the ring, or the key cannot
/// be read.
pub fn task_sign(file: &Path, key: &Path, out: &Path) -> Result<Shown<Signed>, Failure> {
    let task = read_task_file(file)?;
    let plan = Plan::of(&task).map_err(|why| invalid(file, &why))?;
    if let Some(why) = plan.impossible() {
        return Err(invalid(file, why));
    }
    let signed = SignedTask::sign(task, &owner::read(key)?);
    files::write_public(out, &signed.to_bytes())?;
    let answer = Signed {
        task: signed.task.name.clone(),
        version: signed.task.version,
        task_sha256: signed.task.hash(),
        owner: signed.owner,
        ring_bits: signed.task.ring_bits,
        file: out.to_owned(),
    };
    let text = format!(
        "{}: task {} version {}, signed by {}\nring_bits = {}\n{}",
        out.display(),
        answer.task,
        answer.version,
        answer.owner,
        answer.ring_bits,
        plan.text()
    );
    Ok(Shown::new(answer, text))
}

/// Grants a model to one round.
///
/// # Errors
/// `grant_mismatch` for a task without models, a number it does not have, or another owner's key;
/// when a file cannot be read.
pub fn task_grant(endpoint: &Endpoint, request: &GrantRequest) -> Result<Shown<Granted>, Failure> {
    let signed = find_task(endpoint, &request.task)?;
    let task = &signed.task;
    let refuse = |why: String, hint: &str| {
        Err(Failure::new(codes::GRANT_MISMATCH, format!("task {}: {why}", task.name), hint))
    };
    if task.model != ModelRule::Granted {
        return refuse("its rounds have no model".to_owned(), "model = \"granted\" in the task");
    }
    if !(1..=task.max_rounds).contains(&request.number) {
        let why = format!("has rounds 1 to {}, not {}", task.max_rounds, request.number);
        return refuse(why, "another --number");
    }
    let key = owner::read(&request.owner_key)?;
    if key.public() != signed.owner {
        let why = format!("is owned by {}, not by {}", signed.owner, key.public());
        return refuse(why, "the key that signed the task");
    }
    let model = Hash(Sha256::digest(files::read(&request.model, MODEL_LIMIT)?).into());
    let grant = Grant::sign(task.hash(), request.number, model, &key);
    files::write_public(&request.out, &grant.to_bytes())?;
    let text = format!(
        "{}: model {model} for round {} of {}",
        request.out.display(),
        request.number,
        task.name
    );
    let answer = Granted {
        task_sha256: grant.task,
        number: grant.number,
        model_sha256: grant.model,
        file: request.out.clone(),
    };
    Ok(Shown::new(answer, text))
}

/// Shows what a task needs, costs and survives.
///
/// # Errors
/// When the file is neither a task file nor a signed task, or nothing fits the task.
pub fn task_plan(file: &Path) -> Result<Shown<Plan>, Failure> {
    let bytes = files::read(file, TASK_FILE_LIMIT)?;
    let task = match SignedTask::from_bytes(&bytes) {
        Ok(signed) => signed.task,
        Err(_) => read_task_file(file)?,
    };
    let plan = Plan::of(&task).map_err(|why| invalid(file, &why))?;
    let text = plan.text();
    Ok(Shown::new(plan, text))
}

fn read_task_file(file: &Path) -> Result<Task, Failure> {
    let read: TaskFile = config::load_file(file)?;
    read.into_task().map_err(|error| invalid(file, &error.to_string()))
}

/// A file of this name, or else a task that this directory's aggregator knows.
fn find_task(endpoint: &Endpoint, name: &str) -> Result<SignedTask, Failure> {
    let path = Path::new(name);
    if path.is_file() {
        return tasks::decode_signed(&files::read(path, tasks::SIGNED_TASK_LIMIT)?, name);
    }
    let store = Store::open(&endpoint.config()?.database())?;
    tasks::find(&store, name)
}

fn invalid(file: &Path, why: &str) -> Failure {
    Failure::new(
        codes::TASK_INVALID,
        format!("{}: {why}", file.display()),
        "sealsum-aggregator task plan, after changing the task",
    )
}
