//! Each message of a round, and the two files of the owner.

use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::{
    Advertise, Announcement, ConsistencySignature, InboundShares, MaskedInput, Quorum, Reveal,
    Roster, ShareAck, SharedKeys, Sharers, Survivors,
};
use sealsum_protocol::task::{Grant, SignedTask};

use crate::{Target, named};

/// One for each kind.
pub const TARGETS: &[Target] = &[
    named("signed-task", recode::<SignedTask>),
    named("grant", recode::<Grant>),
    named("announcement", recode::<Announcement>),
    named("advertise", recode::<Advertise>),
    named("roster", recode::<Roster>),
    named("shared-keys", recode::<SharedKeys>),
    named("inbound-shares", recode::<InboundShares>),
    named("share-ack", recode::<ShareAck>),
    named("sharers", recode::<Sharers>),
    named("masked-input", recode::<MaskedInput>),
    named("survivors", recode::<Survivors>),
    named("consistency-signature", recode::<ConsistencySignature>),
    named("quorum", recode::<Quorum>),
    named("reveal", recode::<Reveal>),
];

fn recode<M: Message>(bytes: &[u8]) {
    if let Ok(message) = M::from_bytes(bytes) {
        assert!(bytes.len() <= M::MAX_BYTES, "a message above its bound");
        assert_eq!(message.to_bytes(), bytes, "a second encoding");
    }
}
