//! Signs other survivors than it was shown.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::ConsistencySignature;
use sealsum_test_fleet::Said;

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    let (Said::Consistency(_), Some((cohort, _))) = (&said, me.seat) else { return vec![said] };
    let (Some(shared), Some((survivors, lost))) = (&me.view.shared, &me.view.signed) else {
        return vec![said];
    };
    if !me.lies() {
        return vec![said];
    }
    me.told();
    // The two sets in each other's place: a string that nobody else signs.
    let string = cohort.transcript.with_sharers(shared).alive_string(lost, survivors);
    let signature = me.keys.signing.sign(&string);
    vec![Said::Consistency(ConsistencySignature { signature }.to_bytes())]
}
