//! X25519 (RFC 7748) as this protocol uses it.

use curve25519_dalek::montgomery::MontgomeryPoint;
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

/// Clamped scalars are multiples of the cofactor, so any of them sends low order to zero.
fn is_low_order(public: &[u8; 32]) -> bool {
    MontgomeryPoint(*public).mul_clamped([0; 32]).to_bytes() == [0; 32]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> [u8; 32] {
        hex.parse::<crate::ids::Hash>().unwrap().0
    }

    /// The points of low order on the curve and its twist, canonical.
    const LOW_ORDER: [&str; 5] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[test]
    fn keys_of_low_order_are_not_sound_and_agree_on_nothing() {
        let own = ExchangeKey::from_bytes(&[7; 32]);
        for low in LOW_ORDER {
            assert!(!is_sound(&key(low)), "{low}");
            assert!(own.agree(&key(low)).is_err(), "{low}");
        }
        assert!(is_sound(&own.public()));
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
