//! How much memory a process takes, as the kernel says.

use serde::Serialize;

const MB: f64 = 1e6;

/// Of a process, in units of 10^6 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// The most that was resident at once, pages of files included.
    pub peak_mb: f64,
    /// Resident now and its own: heap and stacks.
    pub anonymous_mb: f64,
    /// Resident now and of files: the program and what it maps.
    pub file_mb: f64,
}

impl Memory {
    /// Of a process that runs; nothing if it does not, or the kernel does not say.
    pub fn of(process: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(kib * 1024.0 / MB)
        };
        let (peak_mb, anonymous_mb, file_mb) = (of("VmHWM:")?, of("RssAnon:")?, of("RssFile:")?);
        Some(Self { peak_mb, anonymous_mb, file_mb })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use super::*;

    #[test]
    fn the_kernel_s_words_are_understood() {
        let status = "VmHWM:\t   2000 kB\nRssAnon:\t 1000 kB\nRssFile:\t   500 kB\n";
        let memory = Memory::parse(status).unwrap();
        assert_eq!((memory.peak_mb, memory.anonymous_mb, memory.file_mb), (2.048, 1.024, 0.512));
        assert_eq!(Memory::parse("VmHWM:\t 1 kB"), None);
        let own = Memory::of(std::process::id()).unwrap();
        assert!(own.peak_mb >= own.anonymous_mb && own.anonymous_mb > 0.1, "{own:?}");
    }
}
