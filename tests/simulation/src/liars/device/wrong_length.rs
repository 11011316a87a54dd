//! Sends a message that is too short or too long.

use sealsum_test_fleet::Said;

use super::Me;
use super::malformed::bytes_of;

pub(super) fn tell(me: &mut Me<'_>, mut said: Said) -> Vec<Said> {
    if !me.lies() {
        return vec![said];
    }
    me.told();
    let change = me.below(3);
    let bytes = bytes_of(&mut said);
    match change {
        0 => drop(bytes.pop()),
        1 => bytes.push(0),
        _ => bytes.clear(),
    }
    vec![said]
}
