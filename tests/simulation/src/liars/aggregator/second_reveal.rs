//! Having shown one set of survivors, or a quorum, sends another to the same device.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::Survivors;
use sealsum_protocol::server::Stage;

use super::{AggregatorLie, Told};
use crate::liars::known::Known;
use crate::liars::liar::Scene;

struct SecondReveal;

pub(super) fn new() -> Box<dyn AggregatorLie> {
    Box::new(SecondReveal)
}

impl AggregatorLie for SecondReveal {
    fn alters(
        &mut self,
        scene: &mut Scene<'_>,
        rounds: &BTreeMap<u64, Known>,
        asked: &Told,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let device = asked.device;
        if asked.stage != Stage::Quorum {
            return false;
        }
        let told = rounds.get(&asked.round).and_then(|k| k.told.get(&(device, Stage::Survivors)));
        let Some(mut message) = told.and_then(|bytes| Survivors::from_bytes(bytes).ok()) else {
            return false;
        };
        let n = message.survivors.len();
        let out = scene.choices.below("second_reveal", device, n);
        let others = message.survivors.iter().filter(|index| *index != out);
        message.survivors = Bitmap::of(n, others);
        message.lost.insert(out);
        message.views.retain(|view| usize::from(view.device) != out);
        scene.pushes.push((device, Stage::Survivors, message.to_bytes()));
        // Twice: before the device has heard the first, and after.
        scene.pushes.push((device, Stage::Quorum, bytes.clone()));
        scene.pushes.push((device, Stage::Quorum, bytes.clone()));
        true
    }
}
