//! Sends bytes that are no message, or another one.

use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, mut said: Said) -> Vec<Said> {
    if !me.lies() {
        return vec![said];
    }
    me.told();
    let place = me.below(usize::MAX);
    let bit = me.below(8);
    let bytes = bytes_of(&mut said);
    let length = bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(place % length) {
        *byte ^= 1 << bit;
    }
    vec![said]
}

pub(super) fn bytes_of(said: &mut Said) -> &mut Vec<u8> {
    match said {
        Said::Advertise(bytes)
        | Said::Shares(bytes)
        | Said::Ack(bytes)
        | Said::Chunk { bytes, .. }
        | Said::Masked(bytes)
        | Said::Consistency(bytes)
        | Said::Reveal(bytes) => bytes,
    }
}
