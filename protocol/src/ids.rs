//! The 32-byte names of things: devices, rounds, and hashes of everything else.
//!
//! All three are written as 64 lower-case hex digits; the types differ so that one cannot be
//! passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hex digits")]
pub struct NotHex;

macro_rules! name_of_32_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes as they are hashed, signed and sent.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_of_32_bytes! {
    /// A device: SHA-256 of the TPMT_PUBLIC of its endorsement key. Never chosen by the device.
    DeviceId
}
name_of_32_bytes! {
    /// A round: SHA-256(label, task hash, round number). Never chosen by the aggregator.
    RoundId
}
name_of_32_bytes! {
    /// A SHA-256 digest.
    Hash
}

fn parse_hex(text: &str) -> Result<[u8; 32], NotHex> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(NotHex);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Result<u8, NotHex> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotHex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_round() {
        let id = DeviceId(std::array::from_fn(|i| (i * 37) as u8));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_64_lower_case_digits_are_a_name() {
        let good = "0f".repeat(32);
        assert!(good.parse::<Hash>().is_ok());
        for bad in [&good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('0', "g")]
        {
            assert_eq!(bad.parse::<Hash>(), Err(NotHex), "{bad}");
        }
    }
}
