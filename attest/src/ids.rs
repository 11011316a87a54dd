//! Names of the parties: devices by their endorsement key, fleets and aggregators by text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hex;

/// Longest fleet or aggregator name, in bytes.
pub const NAME_MAX: usize = 63;

/// A device: SHA-256 of its endorsement key's TPMT_PUBLIC, written as 64 lower-case hex digits.
///
/// The device never chooses it and it never changes while the TPM keeps its endorsement seed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 32]);

impl DeviceId {
    /// The identity of the device whose endorsement key has this marshalled TPMT_PUBLIC.
    pub fn from_ek_public(ek_public: &[u8]) -> Self {
        Self(Sha256::digest(ek_public).into())
    }

    /// Takes an identity over from another representation of the same 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// One enrolment or renewal in progress at the authority: 16 random bytes, 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A session named by 16 bytes that the caller drew at random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A fleet: 1 to 63 of `[a-z0-9.-]`, as it stands in every certificate of that fleet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fleet(String);

/// An aggregator's name within its fleet: 1 to 63 of `[a-z0-9.-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text that is not an identifier of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("a device id is 64 lower-case hexadecimal digits")]
    Device,
    /// Not 32 lower-case hexadecimal digits.
    #[error("a session id is 32 lower-case hexadecimal digits")]
    Session,
    /// Not 1 to 63 characters of the alphabet.
    #[error("a name is 1 to 63 of a-z, 0-9, '.' and '-'")]
    Name,
}

fn checked_name(text: &str) -> Result<String, IdError> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-';
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(allowed) {
        return Err(IdError::Name);
    }
    Ok(text.to_owned())
}

impl Fleet {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fleet {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        checked_name(text).map(Self)
    }
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        checked_name(text).map(Self)
    }
}

impl FromStr for DeviceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        hex::decode(text).map(Self).ok_or(IdError::Device)
    }
}

impl FromStr for SessionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        hex::decode(text).map(Self).ok_or(IdError::Session)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Serialises each identifier as its text and parses it back through its constructor.
macro_rules! serde_as_text {
    ($($id:ty),+) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(DeviceId, SessionId, Fleet, Name);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_id_is_the_digest_of_the_endorsement_key() {
        let id = DeviceId::from_ek_public(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<DeviceId>(), Err(IdError::Device));
        assert_eq!(text[1..].parse::<DeviceId>(), Err(IdError::Device));
    }

    #[test]
    fn names_keep_to_their_alphabet() {
        assert!("demo-1.example".parse::<Fleet>().is_ok());
        for bad in ["", "Demo", "a/b", "a b", "é", &"a".repeat(64)] {
            assert_eq!(bad.parse::<Fleet>(), Err(IdError::Name), "{bad}");
            assert_eq!(bad.parse::<Name>(), Err(IdError::Name), "{bad}");
        }
    }
}
