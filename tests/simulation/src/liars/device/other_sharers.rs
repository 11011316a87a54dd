//! Signs its masked input for another U2 than it masked against.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::MaskedInput;
use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let (Said::Masked(bytes), Some((cohort, own))) = (&said, me.seat) else { return vec![said] };
    let Ok(message) = MaskedInput::from_bytes(bytes) else { return vec![said] };
    if !me.lies() {
        return vec![said];
    }
    me.told();
    let shared = Bitmap::of(cohort.size(), [own]);
    let string = cohort.transcript.with_sharers(&shared).masked_string(&message.root);
    let signature = me.keys.signing.sign(&string);
    let other = Said::Masked(MaskedInput { signature, ..message }.to_bytes());
    if me.below(2) == 0 { vec![other, said] } else { vec![other] }
}
