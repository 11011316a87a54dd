//! The task as its owner writes it.

use sealsum_protocol::codec::{Decode, Encode, Message};
use sealsum_protocol::task::{SignedTask, Task, TaskFile};
use sealsum_test_fleet::owner;

use crate::{Target, named};

/// The TOML file.
pub const TARGETS: &[Target] = &[named("task-file", read)];

/// A task that a file describes can be signed and sent, and its ring holds its sums.
fn read(bytes: &[u8]) {
    let file = std::str::from_utf8(bytes).ok().and_then(|text| toml::from_str(text).ok());
    let Some(Ok(task)) = file.map(TaskFile::into_task) else { return };
    assert_eq!(Task::decoded(&task.encoded()).as_ref(), Ok(&task));
    assert!(task.check_width(0).is_ok(), "a ring too narrow");
    let signed = SignedTask::sign(task, &owner());
    assert_eq!(SignedTask::from_bytes(&signed.to_bytes()), Ok(signed));
}
