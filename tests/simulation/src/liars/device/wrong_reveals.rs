//! Reveals shares that were never dealt to it, the other share, or shares of nobody.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::{Reveal, RevealedSecret};
use sealsum_protocol::shamir::Share;
use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let Said::Reveal(bytes) = &said else { return vec![said] };
    let Ok(mut reveal) = Reveal::from_bytes(bytes) else { return vec![said] };
    let places: Vec<usize> = (0..reveal.shares.len()).collect();
    let spoilt = me.some_of(&places);
    let how = me.below(3);
    if spoilt.is_empty() {
        return vec![said];
    }
    me.told();
    for place in spoilt {
        let revealed = &mut reveal.shares[place];
        let other = Share::from_canonical_bytes(&[1; 32]).expect("a small number is canonical");
        revealed.secret = match (how, &revealed.secret) {
            (0, RevealedSecret::MaskKey(_)) | (1, RevealedSecret::SelfMask(_)) => {
                RevealedSecret::MaskKey(other)
            }
            _ => RevealedSecret::SelfMask(other),
        };
    }
    vec![Said::Reveal(reveal.to_bytes())]
}
