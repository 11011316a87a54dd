//! Against two copies of one device: a counter outside its memory.
//!
//! A resumed virtual machine or a cloned disk has the same memory twice. Each step that must not
//! happen twice (mask, sign, reveal) reads a counter in the TPM, compares it with what the memory
//! expects, and increments it before the first byte leaves; the second copy finds it moved.

use std::fmt;

use crate::error::{Refusal, require};
use crate::guard::Guard;

/// A counter that only goes up and that a copy of the device's memory does not copy.
pub trait OnceCounter {
    /// The value.
    ///
    /// # Errors
    /// What the TPM said.
    fn read(&mut self) -> Result<u64, String>;

    /// Adds one; durable before it returns.
    ///
    /// # Errors
    /// What the TPM said.
    fn increment(&mut self) -> Result<(), String>;
}

/// A counter with the value that this device's memory expects of it.
pub struct Once<C> {
    counter: C,
    expected: u64,
}

impl<C: OnceCounter> Once<C> {
    /// Expects `expected`, as the device stored it when it last moved the counter.
    pub fn new(counter: C, expected: u64) -> Self {
        Self { counter, expected }
    }

    /// What the memory expects, for the ledger to store.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Takes one step that must not happen twice.
    ///
    /// # Errors
    /// [`Guard::OnceCounter`] if the counter moved without this memory, or cannot be moved.
    pub(super) fn spend(&mut self) -> Result<(), Refusal> {
        let refused = |detail: String| Refusal::new(Guard::OnceCounter, detail);
        let value = self.counter.read().map_err(refused)?;
        require(value == self.expected, Guard::OnceCounter, || {
            format!("the counter is {value}, expected {}", self.expected)
        })?;
        self.counter.increment().map_err(refused)?;
        self.expected += 1;
        Ok(())
    }
}

impl<C> fmt::Debug for Once<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Once(expecting {})", self.expected)
    }
}
