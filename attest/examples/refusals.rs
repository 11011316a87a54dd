//! Prints the tables of refusals of `docs/enrolment.md`, made from `tests/refusals.toml` and the
//! list of checks.
#![allow(unreachable_pub, dead_code, reason = "the module is shared with a test")]

#[path = "../tests/refusals/rows.rs"]
mod rows;

fn main() {
    print!("{}", rows::render());
}
