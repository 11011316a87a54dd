//! CPU time, and time.

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use rustix::time::{ClockId, clock_gettime};

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// CPU seconds of this thread so far.
pub(crate) fn thread_cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// CPU seconds of this thread that `work` took.
pub(crate) fn thread_cpu<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = thread_cpu_s();
    let result = work();
    (thread_cpu_s() - start, result)
}

/// CPU seconds of all threads that `work` took.
pub(crate) fn process_cpu<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = process_cpu_s();
    let result = work();
    (process_cpu_s() - start, result)
}

/// CPU seconds of this process so far.
pub(crate) fn process_cpu_s() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// CPU seconds of all children that have ended.
pub(crate) fn children_cpu_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of children");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Seconds on the wall that `work` took.
pub(crate) fn wall<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}
