//! Each message of a round, and the two files of the owner.
//!
//! What was decoded is not only written again: sets and lists are first built anew out of what
//! they mean, so that a padding bit or an order that was let through shows.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::messages::{
    Advertise, Announcement, ConsistencySignature, InboundShares, MaskedInput, Quorum, Reveal,
    RevealedSecret, Roster, ShareAck, SharedKeys, Sharers, Survivors,
};
use sealsum_protocol::parameters::LARGEST_COHORT;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::task::{Grant, SignedTask};

use crate::{Target, named};

/// One for each kind.
pub const TARGETS: &[Target] = &[
    named("signed-task", |bytes| recode(bytes, same::<SignedTask>)),
    named("grant", |bytes| recode(bytes, same::<Grant>)),
    named("announcement", |bytes| recode(bytes, same::<Announcement>)),
    named("advertise", |bytes| recode(bytes, same::<Advertise>)),
    named("roster", |bytes| recode(bytes, same::<Roster>)),
    named("shared-keys", |bytes| recode(bytes, same::<SharedKeys>)),
    named("inbound-shares", |bytes| recode(bytes, inbound_shares)),
    named("share-ack", |bytes| recode(bytes, |ack: ShareAck| ShareAck { good: set(&ack.good) })),
    named("sharers", |bytes| recode(bytes, |all: Sharers| Sharers { shared: set(&all.shared) })),
    named("masked-input", |bytes| recode(bytes, same::<MaskedInput>)),
    named("survivors", |bytes| recode(bytes, survivors)),
    named("consistency-signature", |bytes| recode(bytes, same::<ConsistencySignature>)),
    named("quorum", |bytes| recode(bytes, quorum)),
    named("reveal", |bytes| recode(bytes, reveal)),
];

fn recode<M: Message>(bytes: &[u8], rebuilt: fn(M) -> M) {
    if let Ok(message) = M::from_bytes(bytes) {
        assert!(bytes.len() <= M::MAX_BYTES, "a message above its bound");
        assert_eq!(rebuilt(message).to_bytes(), bytes, "a second encoding");
    }
}

fn same<M>(message: M) -> M {
    message
}

fn set(decoded: &Bitmap) -> Bitmap {
    assert!(decoded.len() <= LARGEST_COHORT, "more places than a roster has");
    Bitmap::of(decoded.len(), decoded.iter())
}

/// By index, once each.
fn list<T>(decoded: Vec<T>, index: fn(&T) -> u16) -> Vec<T> {
    let by_index: BTreeMap<u16, T> = decoded.into_iter().map(|item| (index(&item), item)).collect();
    let beyond = by_index.keys().any(|index| usize::from(*index) >= LARGEST_COHORT);
    assert!(!beyond, "a place that no roster has");
    by_index.into_values().collect()
}

fn inbound_shares(decoded: InboundShares) -> InboundShares {
    InboundShares { shares: list(decoded.shares, |share| share.dealer) }
}

fn survivors(decoded: Survivors) -> Survivors {
    Survivors {
        survivors: set(&decoded.survivors),
        lost: set(&decoded.lost),
        views: list(decoded.views, |view| view.device),
    }
}

fn quorum(decoded: Quorum) -> Quorum {
    Quorum { signatures: list(decoded.signatures, |signed| signed.device) }
}

fn reveal(decoded: Reveal) -> Reveal {
    for revealed in &decoded.shares {
        let (RevealedSecret::SelfMask(share) | RevealedSecret::MaskKey(share)) = &revealed.secret;
        assert!(SecretScalar::from_canonical_bytes(share.as_bytes()).is_some(), "a second share");
    }
    Reveal { shares: list(decoded.shares, |share| share.dealer) }
}
