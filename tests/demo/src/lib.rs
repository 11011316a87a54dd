//! What the two programs of the demo share: calling sealsum's commands and reading its results.

pub mod command;
pub mod npy;

/// The arguments of a command, strings and paths alike, as an array of `&OsStr`.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => {
        [$(AsRef::<std::ffi::OsStr>::as_ref($word)),*]
    };
}
