//! Says one thing, then another of the same kind.

use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::{MaskedInput, ShareAck, SharedKeys};
use sealsum_test_fleet::Said;

use super::Me;
use super::dealer;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let Some(other) = other(me, &said).filter(|_| me.lies()) else { return vec![said] };
    me.told();
    if me.below(2) == 0 { vec![said, other] } else { vec![other, said] }
}

fn other(me: &Me<'_>, said: &Said) -> Option<Said> {
    let (cohort, own) = me.seat?;
    Some(match said {
        Said::Shares(bytes) => {
            let mut deal = SharedKeys::from_bytes(bytes).ok()?;
            deal.self_mask_commitment = Hash([7; 32]);
            dealer::sign(&mut deal, (cohort, own), me.keys);
            Said::Shares(deal.to_bytes())
        }
        Said::Ack(bytes) => {
            let mut ack = ShareAck::from_bytes(bytes).ok()?;
            ack.good = sealsum_protocol::bitmap::Bitmap::empty(ack.good.len());
            Said::Ack(ack.to_bytes())
        }
        Said::Masked(bytes) => {
            let MaskedInput { signature, .. } = MaskedInput::from_bytes(bytes).ok()?;
            Said::Masked(MaskedInput { root: Hash([7; 32]), signature }.to_bytes())
        }
        _ => return None,
    })
}
