//! Error codes of this program beside those that all programs share.

use sealsum_daemon::codes::{Code, Exit};

/// The program was restarted while the round ran: its part of the round was in memory.
pub const AGGREGATOR_RESTARTED: Code = Code::new("aggregator_restarted", Exit::Refused);
/// No room on the disk.
pub const DISK_FULL: Code = Code::new("disk_full", Exit::Refused);
/// The disk or the database fails.
pub const STORAGE: Code = Code::new("storage", Exit::Refused);
/// The newest status list of the authority is too old to judge devices by.
pub const STATUS_LIST_STALE: Code = Code::new("status_list_stale", Exit::Unreachable);
/// A round of this task runs already.
pub const ROUND_RUNNING: Code = Code::new("round_running", Exit::Refused);
/// The task's own terms (rounds, interval, dates) do not allow a round now.
pub const TASK_TERMS: Code = Code::new("task_terms", Exit::Refused);
/// A signature of the owner does not verify.
pub const OWNER_SIGNATURE: Code = Code::new("owner_signature", Exit::Refused);
/// A grant is for another task, number or model.
pub const GRANT_MISMATCH: Code = Code::new("grant_mismatch", Exit::Refused);
/// The task's terms contradict each other, or cannot survive what they promise.
pub const TASK_INVALID: Code = Code::new("task_invalid", Exit::Usage);
/// The caller's certificate is not that of a device of this fleet.
pub const NOT_A_DEVICE: Code = Code::new("not_a_device", Exit::Refused);
/// A chunk that the task's layout does not have, or of another shape.
pub const CHUNK_INVALID: Code = Code::new("chunk_invalid", Exit::Usage);
/// The authority does not show that every member of a round is in its log.
pub const LOG_UNPROVEN: Code = Code::new("log_unproven", Exit::Evidence);
/// A chunk is missing.
pub const CHUNK_MISSING: Code = Code::new("chunk_missing", Exit::Refused);
/// The sum holds less noise than its contributors promised.
pub const NOISE_MISSING: Code = Code::new("noise_missing", Exit::Refused);
