//! Calls good shares bad.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::ShareAck;
use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let Said::Ack(bytes) = &said else { return vec![said] };
    let Ok(ack) = ShareAck::from_bytes(bytes) else { return vec![said] };
    let all: Vec<usize> = (0..ack.good.len()).collect();
    let bad = me.some_of(&all);
    if bad.is_empty() {
        return vec![said];
    }
    me.told();
    let good = Bitmap::of(all.len(), ack.good.iter().filter(|place| !bad.contains(place)));
    vec![Said::Ack(ShareAck { good }.to_bytes())]
}
