//! The time, as an argument.

/// A moment as the caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970 UTC, for dates.
    pub unix_s: u64,
    /// Milliseconds of a clock that nobody sets, for deadlines.
    pub steady_ms: u64,
}
