//! Sends a vector that is noise, with a root and a signature that are good.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::MaskedInput;
use sealsum_test_fleet::{Said, root_of};

use super::Me;

pub(super) fn tell(me: &mut Me<'_>, said: Said) -> Vec<Said> {
    match (&said, me.seat, &me.view.shared) {
        (Said::Chunk { .. }, Some(_), _) if !me.is_bold() => vec![said],
        (Said::Chunk { index, bytes }, Some(_), _) => {
            me.told();
            vec![Said::Chunk { index: *index, bytes: noise(bytes) }]
        }
        (Said::Masked(_), Some((cohort, _)), Some(shared)) if me.is_bold() => {
            let zeros: Vec<Vec<u8>> = (0..cohort.layout.chunks())
                .map(|chunk| noise(&vec![0; cohort.layout.chunk_wire_len(chunk)]))
                .collect();
            let root = root_of(&zeros);
            let string = cohort.transcript.with_sharers(shared).masked_string(&root);
            let signature = me.keys.signing.sign(&string);
            vec![Said::Masked(MaskedInput { root, signature }.to_bytes())]
        }
        _ => vec![said],
    }
}

/// Zeros, which are as good as any words that do not unmask; bits past the ring stay zero.
fn noise(bytes: &[u8]) -> Vec<u8> {
    vec![0; bytes.len()]
}
