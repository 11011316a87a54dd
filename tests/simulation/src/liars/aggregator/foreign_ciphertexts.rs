//! Forwards ciphertexts that are another dealer's, another holder's, of another round, or none.

use std::collections::BTreeMap;

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::InboundShares;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct ForeignCiphertexts;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(ForeignCiphertexts)
}

impl AggregatorLie for ForeignCiphertexts {
    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        rounds: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        if asked.stage != Stage::InboundShares {
            return false;
        }
        let Ok(mut message) = InboundShares::from_bytes(bytes) else { return false };
        let how = scene.choices.below("foreign_ciphertexts", asked.device, 5);
        let one = scene.choices.below("foreign_ciphertext", asked.device, message.shares.len());
        let other = scene.choices.below("foreign_dealer", asked.device, message.shares.len());
        let lied = scene.lies("foreign", asked.device);
        if !lied || how == 0 || message.shares.is_empty() {
            return false;
        }
        match how {
            1 => drop(message.shares.remove(one)),
            2 => message.shares[one].dealt = message.shares[other].dealt.clone(),
            3 => message.shares[one].dealt.sealed[40] ^= 1,
            _ => {
                // What the same dealer sent to somebody else, in this round or another.
                let dealer = message.shares[one].dealer;
                let told = rounds.values().flat_map(|known| &known.told);
                let others = told.filter(|((device, stage), _)| {
                    *stage == Stage::InboundShares && *device != asked.device
                });
                let foreign = others
                    .filter_map(|(_, bytes)| InboundShares::from_bytes(bytes).ok())
                    .find_map(|m| m.shares.into_iter().find(|share| share.dealer == dealer));
                let Some(foreign) = foreign else { return false };
                message.shares[one] = foreign;
            }
        }
        *bytes = message.to_bytes();
        true
    }
}
