//! X25519 (RFC 7748) as this protocol uses it.

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// An X25519 secret key: the identity, or one of a round's. Erased when dropped; never printed,
/// compared or copied.
pub struct ExchangeKey(Box<StaticSecret>);

/// An agreement with a key of low order: its result says nothing of this side's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agreement gives zero: the other key is of low order")]
pub struct ZeroAgreement;

impl ExchangeKey {
    /// Draws a key.
    pub fn draw(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(&bytes)
    }

    /// The key with these 32 bytes; clamping is part of X25519.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(StaticSecret::from(*bytes)))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&*self.0).to_bytes()
    }

    /// The Diffie-Hellman agreement with the owner of `peer`.
    ///
    /// # Errors
    /// [`ZeroAgreement`]; whoever made `peer` is at fault.
    pub fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, ZeroAgreement> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(ZeroAgreement);
        }
        Ok(Zeroizing::new(shared.to_bytes()))
    }
}

/// 2^255 - 19, little-endian.
const FIELD_PRIME: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

/// Whether a public key is the canonical encoding of a point that is not of low order.
pub fn is_sound(public: &[u8; 32]) -> bool {
    is_canonical(public) && !is_low_order(public)
}

fn is_canonical(public: &[u8; 32]) -> bool {
    public.iter().rev().lt(FIELD_PRIME.iter().rev())
}

/// The points of low order on the curve and on its twist, canonical: u = 0 of order 2, 1 and -1 of
/// order 4, two of order 8.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = FIELD_PRIME;
        minus_one[0] -= 1;
        minus_one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
];

/// By comparison: a device looks at three keys of everybody on the roster, and finding out by
/// multiplication would cost it as much as an agreement for each.
fn is_low_order(public: &[u8; 32]) -> bool {
    LOW_ORDER.contains(public)
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::montgomery::MontgomeryPoint;

    use super::*;

    /// Clamped scalars are multiples of the cofactor, so any of them sends low order to zero.
    fn has_low_order(public: &[u8; 32]) -> bool {
        MontgomeryPoint(*public).mul_clamped([0; 32]).to_bytes() == [0; 32]
    }

    #[test]
    fn keys_of_low_order_are_not_sound_and_agree_on_nothing() {
        let own = ExchangeKey::from_bytes(&[7; 32]);
        for low in LOW_ORDER {
            assert!(has_low_order(&low) && !is_sound(&low), "{low:?}");
            assert!(own.agree(&low).is_err(), "{low:?}");
        }
        assert!(is_sound(&own.public()));
    }

    #[test]
    fn keys_next_to_those_of_low_order_are_sound() {
        let near = |low: &[u8; 32]| {
            [1u8, 2, 0x80].map(|flip| {
                let mut near = *low;
                near[16] ^= flip;
                near
            })
        };
        for key in LOW_ORDER.iter().flat_map(near) {
            assert!(is_sound(&key) && !has_low_order(&key), "{key:?}");
        }
    }

    #[test]
    fn a_key_has_one_encoding() {
        let own = ExchangeKey::from_bytes(&[7; 32]).public();
        let mut high_bit = own;
        high_bit[31] |= 0x80;
        assert!(is_sound(&own) && !is_sound(&high_bit));
        let mut nine_plus_prime = FIELD_PRIME;
        nine_plus_prime[0] += 9;
        assert!(!is_sound(&FIELD_PRIME) && !is_sound(&nine_plus_prime));
    }
}
