//! Those who do not do what they should: one lie to a file, and the two lists that name them.
//!
//! A lying aggregator stands between the honest one and the devices. It knows all it was told, and
//! the secrets of the devices that lie. To add a lie, write its file and name it in
//! [`AGGREGATOR`] or [`DEVICE`]: worlds then draw it, and summaries count it.

pub mod aggregator;
mod colluders;
pub mod device;
mod forge;
mod known;
mod liar;

pub use aggregator::AGGREGATOR;
pub use colluders::Colluders;
pub use device::DEVICE;
pub use liar::{Liar, Scene};
