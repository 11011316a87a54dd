//! What a device has for life: an identity, a key in place of its TPM's, a counter, its marks.

use std::cell::Cell;
use std::rc::Rc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::client::{Identity, Mark, Once, OnceCounter, RoundMarks};
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::{DeviceId, Hash};
use sealsum_protocol::signature::SecretKey;

/// Where a device remembers its rounds.
#[derive(Default)]
pub struct Marks(Option<Mark>);

impl Marks {
    pub fn at(number: u64, at_unix_s: u64) -> Self {
        Self(Some(Mark { number, at_unix_s }))
    }

    pub fn number(&self) -> Option<u64> {
        self.0.map(|mark| mark.number)
    }
}

impl RoundMarks for Marks {
    fn last(&self, _: &Hash) -> Result<Option<Mark>, String> {
        Ok(self.0)
    }

    fn raise(&mut self, _: &Hash, mark: Mark) -> Result<(), String> {
        self.0 = Some(mark);
        Ok(())
    }
}

/// A TPM counter that two copies of a device share.
#[derive(Clone, Default)]
pub struct Counter(pub Rc<Cell<u64>>);

impl OnceCounter for Counter {
    fn read(&mut self) -> Result<u64, String> {
        Ok(self.0.get())
    }

    fn increment(&mut self) -> Result<(), String> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// What a device has for life.
pub struct Device {
    pub id: DeviceId,
    pub identity: ExchangeKey,
    pub tpm: SecretKey,
    pub certificate: Vec<u8>,
    pub counter: Counter,
    pub once: Once<Counter>,
}

impl Device {
    pub fn new(index: usize) -> Self {
        let mut rng = rng(1_000_000 + index as u64);
        let DeviceId(id) = id_of(index);
        let (identity, tpm) = (ExchangeKey::draw(&mut rng), SecretKey::draw(&mut rng));
        let certificate = [id, identity.public(), tpm.public().0].concat();
        let counter = Counter::default();
        let once = Once::new(counter.clone(), 0);
        Self { id: DeviceId(id), identity, tpm, certificate, counter, once }
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity {
            device: self.id,
            certificate: &self.certificate,
            static_key: self.identity.public(),
        }
    }
}

/// The id of the device of a number; ids are in the order of the numbers.
pub fn id_of(index: usize) -> DeviceId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(index as u64).to_be_bytes());
    DeviceId(id)
}

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn entry_rng(index: usize) -> ChaCha20Rng {
    rng(2_000_000 + index as u64)
}
