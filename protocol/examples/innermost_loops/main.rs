//! Runs an innermost loop of a round so often: `innermost_loops NAME TIMES`; names without arguments.
//! `tests/instructions.rs` counts what a turn costs.

mod loops;
mod pair;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => loops::ALL.iter().for_each(|(name, _)| println!("{name}")),
        [name, times] => {
            let found = loops::ALL.iter().find(|(other, _)| *other == name);
            let (Some((_, start)), Ok(times)) = (found, times.parse()) else { return usage() };
            run(start(), times);
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: innermost_loops [NAME TIMES]");
    ExitCode::from(2)
}

/// The first turn, in which a program finds out what the CPU can do, does not count.
fn run(mut turn: loops::Turn, times: u32) {
    turn();
    (0..times).for_each(|_| counted_turn(&mut turn));
}

/// Counted by its name.
#[inline(never)]
fn counted_turn(turn: &mut loops::Turn) {
    turn();
}
