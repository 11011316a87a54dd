//! What a ledger comes to at one value of the counter: what the authority keeps from renewal to
//! renewal, so that a lost ledger need not cost the budget of an epoch.
//!
//! The TPM authenticates a head, so the authority can only lose it or show an older one. An older one
//! costs more, never less: whatever was charged since took a step, and each step since counts as one
//! largest round.

use jiff::Timestamp;
use sealsum_attest::messages::Bytes;
use sealsum_attest_tpm::{Tpm, mac};
use sealsum_daemon::{Failure, codes};
use sealsum_protocol::dp::accountant::Charge;
use subtle::ConstantTimeEq as _;

use super::document::Lost;
use super::{Known, Ledger, lock};
use crate::device::tpm_failure;

const PURPOSE: &str = "sealsum/v1/ledger-head";
const CODE_LEN: usize = 32;
const LEN: usize = 8 * 5 + 4;

/// The sums of a ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// No step after this value of the counter is in it.
    pub(super) counter: u64,
    /// The epoch that the sums are of.
    pub(super) epoch: u64,
    /// Charged in it, by all tasks.
    pub(super) spent: Charge,
    /// Epsilon in doubt in it.
    pub(super) in_doubt: f64,
    /// Failed rounds since the last good one.
    pub(super) failed_in_row: u32,
}

impl Head {
    /// The head and this TPM's authentication code of it.
    ///
    /// # Errors
    /// `tpm_unreachable` and the like.
    pub fn seal(&self, tpm: &Tpm) -> Result<Bytes, Failure> {
        let head = self.encode();
        let code = mac::authenticate(tpm, PURPOSE, &head).map_err(|error| tpm_failure(&error))?;
        Ok(Bytes([head.as_slice(), &code].concat()))
    }

    /// Reads what [`Head::seal`] made on this device, ever.
    ///
    /// # Errors
    /// `refused` if this TPM did not make it; `tpm_unreachable` and the like.
    pub fn open(sealed: &Bytes, tpm: &Tpm) -> Result<Self, Failure> {
        let foreign = || {
            Failure::new(
                codes::REFUSED,
                "authority: the ledger's head that it shows is not this device's",
                "report this to whoever runs it; the budget counts as spent",
            )
        };
        let (head, shown) = sealed.0.split_at_checked(LEN).ok_or_else(foreign)?;
        let code = mac::authenticate(tpm, PURPOSE, head).map_err(|error| tpm_failure(&error))?;
        if shown.len() != CODE_LEN || !bool::from(code.ct_eq(shown)) {
            return Err(foreign());
        }
        Self::decode(head).ok_or_else(foreign)
    }

    /// Big-endian, in the order of the fields.
    fn encode(&self) -> Vec<u8> {
        let Charge { xi, rho } = self.spent;
        let words = [self.counter, self.epoch, xi, rho, self.in_doubt.to_bits()];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(self.failed_in_row.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, last) = bytes.split_last_chunk()?;
        let (words, _) = words.as_chunks();
        let [counter, epoch, xi, rho, in_doubt] = *words else { return None };
        Some(Self {
            counter: u64::from_be_bytes(counter),
            epoch: u64::from_be_bytes(epoch),
            spent: Charge { xi: u64::from_be_bytes(xi), rho: u64::from_be_bytes(rho) },
            in_doubt: f64::from_be_bytes(in_doubt),
            failed_in_row: u32::from_be_bytes(*last),
        })
    }
}

impl Ledger {
    /// What the authority is to keep; nothing of a ledger that is lost or not to be believed.
    pub fn head(&self, now: Timestamp) -> Option<Head> {
        let _one = lock(&self.stepping);
        let Known { mut document, disowned, .. } = self.known();
        document.turn_to(self.limits.epoch_at(now));
        if disowned.is_some() || document.lost.is_some() {
            return None;
        }
        Some(Head {
            counter: document.counter.reached(),
            epoch: document.epoch,
            spent: document.total(),
            in_doubt: document.in_doubt,
            failed_in_row: document.failed_in_row,
        })
    }

    /// Whether a head would help that nobody has asked for since this process began.
    pub fn awaits_head(&self, now: Timestamp) -> bool {
        !lock(&self.known).asked && self.present(now).lost == Some(Lost::Ledger)
    }

    /// Goes on from the head that the authority kept, if the ledger is lost. `None`: it has none.
    ///
    /// # Errors
    /// `once_counter`, `tpm_unreachable`, `file_write`.
    pub fn go_on_from(&self, head: Option<Head>, now: Timestamp) -> Result<(), Failure> {
        let _one = lock(&self.stepping);
        if let Some(head) = head {
            self.take_over(&head, now)?;
        }
        lock(&self.known).asked = true;
        Ok(())
    }

    fn take_over(&self, head: &Head, now: Timestamp) -> Result<(), Failure> {
        if self.present(now).lost != Some(Lost::Ledger) {
            return Ok(());
        }
        let mut document = self.settled(now)?;
        // A counter below the head is that of a TPM that was put back.
        let Some(steps) = document.counter.value.checked_sub(head.counter) else { return Ok(()) };
        document.turn_to(head.epoch);
        document.lost = None;
        if document.epoch == head.epoch {
            document.in_doubt += self.limits.epsilon(head.spent) + head.in_doubt;
        }
        document.doubt(steps, &self.limits, now);
        document.failed_in_row = document.failed_in_row.max(head.failed_in_row);
        self.keep(&document);
        document.write(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_read_back_is_the_same_and_another_length_is_none() {
        let spent = Charge { xi: 3, rho: 4 };
        let head = Head { counter: 1, epoch: 2, spent, in_doubt: 5.5, failed_in_row: 6 };
        let bytes = head.encode();
        assert_eq!(bytes.len(), LEN);
        assert_eq!(Head::decode(&bytes), Some(head));
        assert_eq!(Head::decode(&bytes[1..]), None);
    }
}
