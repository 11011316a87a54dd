//! Deals ciphertexts that do not open, to some of its neighbours, under its own good signature.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::SharedKeys;
use sealsum_test_fleet::Said;

use super::{Me, dealer};

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let (Said::Shares(bytes), Some(seat)) = (&said, me.seat) else { return vec![said] };
    let Ok(mut deal) = SharedKeys::from_bytes(bytes) else { return vec![said] };
    let places: Vec<usize> = (0..deal.shares.len()).collect();
    let spoilt = me.some_of(&places);
    if spoilt.is_empty() {
        return vec![said];
    }
    me.told();
    for place in spoilt {
        let sealed = &mut deal.shares[place].sealed;
        let at = me.below(sealed.len());
        sealed[at] ^= 1;
    }
    dealer::sign(&mut deal, seat, me.keys);
    vec![Said::Shares(deal.to_bytes())]
}
