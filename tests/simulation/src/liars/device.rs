//! What a lying device does with what it should say: one lie to a file.

mod bad_acks;
mod bad_signatures;
mod dealer;
mod double_upload;
mod equivocates;
mod garbage_ciphertexts;
mod malformed;
mod other_sharers;
mod silent;
mod wrong_canary;
mod wrong_length;
mod wrong_reveals;
mod wrong_shares;

use std::collections::BTreeMap;

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::signature::SecretKey;
use sealsum_test_fleet::Said;

use crate::choices::Choices;
use crate::ledger::View;
use crate::tally::Tally;

/// A lie: what to say instead.
pub type Tell = fn(&mut Me<'_>, Said) -> Vec<Said>;

/// A lie by name.
pub struct DeviceLie {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub tell: Tell,
}

/// Every lie of a device.
pub const DEVICE: &[DeviceLie] = &[
    DeviceLie { name: "bad_acks", tell: bad_acks::tell },
    DeviceLie { name: "bad_signatures", tell: bad_signatures::tell },
    DeviceLie { name: "double_upload", tell: double_upload::tell },
    DeviceLie { name: "equivocates", tell: equivocates::tell },
    DeviceLie { name: "garbage_ciphertexts", tell: garbage_ciphertexts::tell },
    DeviceLie { name: "malformed", tell: malformed::tell },
    DeviceLie { name: "other_sharers", tell: other_sharers::tell },
    DeviceLie { name: "silent", tell: silent::tell },
    DeviceLie { name: "wrong_canary", tell: wrong_canary::tell },
    DeviceLie { name: "wrong_length", tell: wrong_length::tell },
    DeviceLie { name: "wrong_reveals", tell: wrong_reveals::tell },
    DeviceLie { name: "wrong_shares", tell: wrong_shares::tell },
];

/// The lie of a name.
pub fn find(name: &str) -> Option<&'static DeviceLie> {
    DEVICE.iter().find(|lie| lie.name == name)
}

/// The secrets of an entry.
pub struct Keys {
    /// a.
    pub mask: SecretScalar,
    /// Of the channels.
    pub channel: ExchangeKey,
    /// Of all that it signs.
    pub signing: SecretKey,
}

/// A lying device in a round.
pub struct Me<'a> {
    /// The lie that is being told.
    pub name: &'static str,
    /// Which device it is.
    pub device: usize,
    /// Its secrets.
    pub keys: &'a Keys,
    /// The cohort, and its place there, once there is a roster.
    pub seat: Option<(&'a Cohort, usize)>,
    /// What it knows.
    pub view: &'a View,
    /// How often it lies when it could, per mille.
    pub boldness: u32,
    /// Its choices.
    pub choices: &'a mut Choices,
    /// Where lies are counted.
    pub tally: &'a mut Tally,
    /// What it remembers within an entry.
    pub memory: &'a mut BTreeMap<&'static str, u64>,
}

impl Me<'_> {
    /// Whether to lie now.
    fn lies(&mut self) -> bool {
        self.choices.chance(self.name, self.device, self.boldness)
    }

    /// Whether to lie throughout this round.
    fn is_bold(&mut self) -> bool {
        if let Some(bold) = self.memory.get("bold") {
            return *bold == 1;
        }
        let bold = self.choices.chance("bold", self.device, 500);
        self.memory.insert("bold", u64::from(bold));
        bold
    }

    /// Which of `all` to lie about, if at all.
    fn some_of(&mut self, all: &[usize]) -> Vec<usize> {
        if self.lies() { self.choices.some_of(self.name, self.device, all) } else { Vec::new() }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.choices.below(self.name, self.device, bound)
    }

    fn told(&mut self) {
        self.tally.lie(self.name);
    }
}
