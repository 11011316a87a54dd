//! Shows a quorum as soon as it is asked for one, with the few signatures that there are.

use std::collections::BTreeMap;

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Quorum;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct HastyQuorum;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(HastyQuorum)
}

impl AggregatorLie for HastyQuorum {
    fn hurries(&self, stage: Stage) -> bool {
        stage == Stage::Quorum
    }

    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        _: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        if asked.stage != Stage::Quorum {
            return false;
        }
        let Ok(mut message) = Quorum::from_bytes(bytes) else { return false };
        // Or it waited, and now holds some back.
        let fewer = scene.choices.below("hasty_quorum", asked.device, message.signatures.len());
        message.signatures.truncate(message.signatures.len() - fewer);
        *bytes = message.to_bytes();
        true
    }
}
