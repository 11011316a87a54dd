//! Sends its vector twice, with different words.

use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let Said::Chunk { index, bytes } = &said else { return vec![said] };
    if !me.lies() {
        return vec![said];
    }
    me.told();
    let mut other = bytes.clone();
    let place = me.below(other.len());
    other[place] ^= 1;
    let other = Said::Chunk { index: *index, bytes: other };
    // The first counts, whichever it is.
    if me.below(2) == 0 { vec![said, other] } else { vec![other, said] }
}
