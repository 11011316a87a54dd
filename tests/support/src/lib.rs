//! What tests and the demo need around the product: software TPMs and processes that end with
//! the test that started them.
//!
//! | module | gives |
//! |---|---|
//! | [`manufacturer`] | a maker of TPMs: a certificate authority and distinct chips with EK certificates |
//! | [`swtpm`] | one running software TPM: reboot, power cut, hang, clone |
//! | [`wire`] | the few raw TPM commands a test sends behind the product's back |
//! | [`proxy`] | a bad bus in front of a software TPM |
//! | [`process`] | a child process with a log file and a ready file |
//!
//! Everything here panics with a sentence when it cannot do its duty: a test without its TPM is
//! a failed test, never a skipped one.

mod child;
pub mod manufacturer;
pub mod process;
pub mod proxy;
pub mod swtpm;
pub mod wire;

pub use manufacturer::{Manufacturer, TpmFactory};
pub use process::{Process, unit_environment};
pub use proxy::{Fault, FaultProxy};
pub use swtpm::SoftwareTpm;
