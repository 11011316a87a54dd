//! Children that cannot outlive this process.
//!
//! `setpriv --pdeathsig` (util-linux) asks the kernel to kill the child when the *thread* that
//! started it ends, so one thread that lives as long as the process starts them all: a child may
//! then outlast the test thread that asked for it, and still dies when the process is killed.
//!
//! A shell in between closes every file but the three standard ones. The TPM library does not
//! mark its sockets close-on-exec, and a child that inherits one keeps the connection of another
//! test open: that test's TPM then waits for its end and answers nobody.

use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts `command` so that it is killed when this process ends, however that happens.
pub(crate) fn spawn(command: Command) -> std::io::Result<Child> {
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| Mutex::new(start_thread()));
    let (answer, child) = channel();
    starter
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .expect("the thread that starts children lives as long as the process");
    child.recv().expect("the thread that starts children answers every order")
}

/// Closes what was inherited and becomes the program that its arguments name (bash, because a
/// plain `sh` cannot close descriptors above 9).
const CLOSE_AND_EXEC: &str = r#"
for fd in /proc/self/fd/*; do
  fd="${fd##*/}"
  if (( fd > 2 )); then eval "exec $fd>&-"; fi
done
exec "$@"
"#;

/// The same program, arguments, environment and directory, started through `setpriv`.
/// Standard streams are the caller's to set: a [`Command`] does not tell them.
pub(crate) fn bound_to_parent(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--", "bash", "--norc", "-c", CLOSE_AND_EXEC, "bash"]);
    bound.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

fn start_thread() -> Sender<Order> {
    let (orders, inbox) = channel::<Order>();
    thread::Builder::new()
        .name("children".into())
        .spawn(move || {
            for (mut command, answer) in inbox {
                // The one who asked may be gone; then the child is dropped with the answer.
                let _ = answer.send(command.spawn());
            }
        })
        .expect("a thread can be started");
    orders
}
