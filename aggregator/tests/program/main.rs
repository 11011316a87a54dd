//! The real program over real HTTPS: whole rounds, and everything that it must refuse.

mod authority;
mod commands;
mod device;
mod fleet;
mod lifecycle;
mod program;
mod refusals;
mod revocation;
mod rounds;
mod wire;
