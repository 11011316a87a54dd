//! What the commands do: some alone, most by asking the running aggregator over its socket.

mod endpoint;
pub mod init;
pub mod log;
pub mod offline;
pub mod plan;
mod round;
mod task;

pub use endpoint::Endpoint;
pub use round::{Started, Waited};
