//! Announces the same round with two nonces.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Announcement;

use super::AggregatorLie;
use crate::liars::liar::Scene;

struct TwoAnnouncements;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(TwoAnnouncements)
}

impl AggregatorLie for TwoAnnouncements {
    fn announces(&mut self, scene: &mut Scene<'_>, device: usize, bytes: &mut Vec<u8>) -> bool {
        let Ok(mut message) = Announcement::from_bytes(bytes) else { return false };
        if !scene.lies("two_announcements", device) {
            return false;
        }
        for spec in &mut message.rounds {
            spec.nonce[31] ^= 1;
        }
        *bytes = message.to_bytes();
        true
    }
}
