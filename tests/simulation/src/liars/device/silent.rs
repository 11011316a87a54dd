//! Falls silent at one step and stays so, without leaving.

use sealsum_test_fleet::Said;

use super::Me;

const STEPS: usize = 6;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    if !me.is_bold() {
        return vec![said];
    }
    let step = match &said {
        Said::Advertise(_) => 0,
        Said::Shares(_) => 1,
        Said::Ack(_) => 2,
        Said::Chunk { .. } => 3,
        Said::Masked(_) => 4,
        Said::Consistency(_) => 5,
        Said::Reveal(_) => 6,
    };
    let from = match me.memory.get(me.name) {
        Some(from) => *from,
        None => {
            let from = (STEPS - me.below(STEPS)) as u64;
            me.memory.insert(me.name, from);
            from
        }
    };
    if step < from {
        return vec![said];
    }
    me.told();
    Vec::new()
}
