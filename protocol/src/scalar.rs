//! Secret scalars modulo the order of the ristretto255 group (RFC 9496), about 2^252.

use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret scalar: in its own box, wiped on drop, without `Debug`, `==` or `Clone`.
pub struct SecretScalar(Box<Scalar>);

impl SecretScalar {
    /// A uniform scalar from 64 bytes of `rng`.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(wide.as_mut());
        Self::new(Scalar::from_bytes_mod_order_wide(&wide))
    }

    /// The scalar with these 32 little-endian bytes, if they are below the group order.
    pub fn from_canonical_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Option::from(Scalar::from_canonical_bytes(*bytes)).map(Self::new)
    }

    /// The canonical little-endian bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn new(mut scalar: Scalar) -> Self {
        let mut boxed = Box::new(Scalar::ZERO);
        *boxed = scalar;
        scalar.zeroize();
        Self(boxed)
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl Drop for SecretScalar {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for SecretScalar {}
