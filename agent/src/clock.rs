//! The present, as it is written into files and shown: whole seconds, UTC.

use jiff::Timestamp;
use sealsum_daemon::time;

/// Now, without the fraction that nobody reads.
pub(crate) fn now() -> Timestamp {
    let now = time::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
