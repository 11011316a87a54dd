//! TPMT_SIGNATURE of ECDSA (TPM 2.0 Library, Part 2, clauses 11.3.2 and 11.3.4).

use super::alg;
use super::public::{COORDINATE_MAX, pad};
use super::wire::{ParseError, Reader, push_sized};

/// An ECDSA signature by a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdsaSignature {
    /// Hash that was signed ([`alg`]).
    pub hash: u16,
    /// First half, big-endian.
    pub r: Vec<u8>,
    /// Second half, big-endian.
    pub s: Vec<u8>,
}

impl EcdsaSignature {
    /// Reads a whole TPMT_SIGNATURE; any scheme but ECDSA is unsupported.
    ///
    /// # Errors
    /// [`ParseError`]; nothing may follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let scheme = reader.u16("signature scheme")?;
        if scheme != alg::ECDSA {
            return Err(ParseError::Unsupported { what: "signature scheme", value: scheme.into() });
        }
        let signature = Self {
            hash: reader.u16("signature hash")?,
            r: reader.sized(COORDINATE_MAX, "r")?.to_vec(),
            s: reader.sized(COORDINATE_MAX, "s")?.to_vec(),
        };
        reader.finish()?;
        Ok(signature)
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.extend(alg::ECDSA.to_be_bytes());
        out.extend(self.hash.to_be_bytes());
        push_sized(&mut out, &self.r);
        push_sized(&mut out, &self.s);
        out
    }

    /// r and s of 32 bytes each, as P-256 verification takes them; `None` if one is longer.
    pub fn to_p256(&self) -> Option<[u8; 64]> {
        let mut fixed = [0; 64];
        fixed[..32].copy_from_slice(&pad::<32>(&self.r)?);
        fixed[32..].copy_from_slice(&pad::<32>(&self.s)?);
        Some(fixed)
    }
}
