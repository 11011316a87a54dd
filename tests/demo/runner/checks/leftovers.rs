//! The demo cleans up after itself.

use std::path::Path;

use crate::report::Report;

/// No process that the demo started runs any more and its files are gone (`emptied` is `None`
/// where the user asked to keep them).
pub(crate) fn nothing_left(
    report: &mut Report,
    processes: &[u32],
    directory: &Path,
    emptied: Option<bool>,
) {
    report.check("nothing-left", |_| {
        let alive = |id: &&u32| Path::new(&format!("/proc/{id}")).exists();
        let left: Vec<_> = processes.iter().filter(alive).collect();
        if !left.is_empty() {
            return Err(format!("processes {left:?} still run").into());
        }
        match emptied {
            None => Ok(format!("{} processes ended; files kept", processes.len())),
            Some(true) if !directory.exists() => {
                Ok(format!("{} processes ended, every file removed", processes.len()))
            }
            Some(_) => Err(format!("files are left in {}", directory.display()).into()),
        }
    });
}
