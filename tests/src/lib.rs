//! What the tests of the whole system share. The tests are the files in this folder's parent.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// The path of one of the three programs, built as `make build` builds them.
///
/// # Panics
/// When the build fails.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("--bins")).join(name)
}

/// The path of an example, built likewise.
///
/// # Panics
/// When the build fails.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("--examples").join("examples")).join(name)
}

/// A program of `tests/requirements.txt`, as `packaging/deps.sh all` installed it.
///
/// # Panics
/// When it is not there.
pub fn peer(name: &str) -> PathBuf {
    // target/debug/deps/TEST
    let test = std::env::current_exe().unwrap_or_default();
    let target = test.ancestors().nth(3).unwrap_or(Path::new(""));
    let peer = target.join("venv/bin").join(name);
    assert!(peer.exists(), "{} is missing. Try: make test-all", peer.display());
    peer
}

fn build(what: &str) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--workspace", what, "--quiet"]).current_dir(repository());
    // Cargo tells a test its package. Build scripts that watch these names (ring's does) would run
    // again, here and at the next `make build`, and with them all that depends on them.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    let built = command.status();
    assert!(built.is_ok_and(|status| status.success()), "the programs do not build");
    let test = std::env::current_exe().unwrap_or_default();
    // target/debug/deps/TEST
    test.ancestors().nth(2).unwrap_or(Path::new("")).to_owned()
}
