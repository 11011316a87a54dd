//! Vectors that take long.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::Hash;

/// RFC 7748 section 5.2, after 1,000,000 iterations.
#[test]
fn x25519_iterated_a_million_times_is_that_of_rfc_7748() {
    let mut nine = [0; 32];
    nine[0] = 9;
    let (mut key, mut peer) = (nine, nine);
    for _ in 0..1_000_000 {
        (key, peer) = (*ExchangeKey::from_bytes(&key).agree(&peer).unwrap(), key);
    }
    let expected: Hash =
        "7c3911e0ab2586fd864497297e575e6f3bc601c0883c30df5f4dd2d24f665424".parse().unwrap();
    assert_eq!(Hash(key), expected);
}
