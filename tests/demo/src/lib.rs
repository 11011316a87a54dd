//! What the two programs of the demo share: calling sealsum's commands and reading its results.

pub mod command;
pub mod npy;

/// The ids of the checks, in their order.
pub const CHECKS: [&str; 13] = [
    "enrol-all",
    "foreign-ek-refused",
    "clone-refused",
    "sum-exact",
    "masked-uniform",
    "plain-not-uniform",
    "floor-refused",
    "too-few-refused",
    "dp-accuracy",
    "epsilon-reported",
    "dropouts-exact",
    "revoked-out",
    "nothing-left",
];

/// The arguments of a command, strings and paths alike, as an array of `&OsStr`.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => {
        [$(AsRef::<std::ffi::OsStr>::as_ref($word)),*]
    };
}
