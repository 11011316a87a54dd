//! The one encoding of everything that is hashed, signed or sent.
//!
//! Fixed-width little-endian integers, lists with a length in front and a bound on it, bitmaps
//! with zero padding. A value has exactly one encoding, and a decoder refuses every other: a wrong
//! version, a length above its bound, a set padding bit, a byte left over. No input makes it panic
//! or allocate more than the input's own size.

use crate::labels::PROTOCOL_VERSION;

/// Why bytes are not the canonical encoding of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the last field")]
    TrailingBytes,
    /// Another protocol version.
    #[error("protocol version {0}, this program speaks version 1")]
    Version(u8),
    /// Another kind of message.
    #[error("message kind {got}, expected {expected}")]
    Kind {
        /// The kind asked for.
        expected: u8,
        /// The kind that came.
        got: u8,
    },
    /// A list, text or bitmap longer than its bound.
    #[error("a length of {length}, more than {bound}")]
    TooLong {
        /// The length that came.
        length: usize,
        /// The most that is allowed.
        bound: usize,
    },
    /// A field holds a value that no encoder writes.
    #[error("not canonical: {0}")]
    NotCanonical(&'static str),
}

/// A value with one canonical encoding.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, writer: &mut Writer);

    /// The encoding alone.
    fn encoded(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.encode(&mut writer);
        writer.finish()
    }
}

/// A value that can be read from its canonical encoding.
pub trait Decode: Sized {
    /// Reads the value and leaves the reader behind it.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// Reads the value from bytes that hold nothing else.
    fn decoded(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// A value sent on its own: version byte, kind byte, encoding.
pub trait Message: Encode + Decode {
    /// The kind byte, unique among messages.
    const KIND: u8;
    /// The most bytes a sent message can have; a receiver reads no further.
    const MAX_BYTES: usize;

    /// The bytes to send.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(PROTOCOL_VERSION);
        writer.u8(Self::KIND);
        self.encode(&mut writer);
        writer.finish()
    }

    /// Reads what [`Message::to_bytes`] wrote.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(CodecError::TooLong { length: bytes.len(), bound: Self::MAX_BYTES });
        }
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != PROTOCOL_VERSION {
            return Err(CodecError::Version(version));
        }
        let got = reader.u8()?;
        if got != Self::KIND {
            return Err(CodecError::Kind { expected: Self::KIND, got });
        }
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Appends fields.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Bytes whose number both ends know.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A length of four bytes, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.raw(bytes);
    }

    /// A length of four bytes, then each item.
    pub fn list<T: Encode>(&mut self, items: &[T]) {
        self.u32(items.len() as u32);
        items.iter().for_each(|item| item.encode(self));
    }

    /// One byte 0, or one byte 1 and the value.
    pub fn option<T: Encode>(&mut self, value: Option<&T>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            value.encode(self);
        }
    }
}

/// Takes fields from the front.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Refuses bytes that no field took.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::TrailingBytes) }
    }

    /// `length` bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length of four bytes, at most `bound`, then the bytes.
    pub fn bytes(&mut self, bound: usize) -> Result<&'a [u8], CodecError> {
        let length = self.length(bound)?;
        self.raw(length)
    }

    /// A length of four bytes, at most `bound`, then each item.
    pub fn list<T: Decode>(&mut self, bound: usize) -> Result<Vec<T>, CodecError> {
        let length = self.length(bound)?;
        // Not `with_capacity(length)`: a length is cheap to send, items are not.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// One byte 0, or one byte 1 and the value.
    pub fn option<T: Decode>(&mut self) -> Result<Option<T>, CodecError> {
        match self.u8()? {
            0 => Ok(None),
            1 => T::decode(self).map(Some),
            _ => Err(CodecError::NotCanonical("an option that is neither 0 nor 1")),
        }
    }

    fn length(&mut self, bound: usize) -> Result<usize, CodecError> {
        let length = self.u32()? as usize;
        if length > bound {
            return Err(CodecError::TooLong { length, bound });
        }
        Ok(length)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array()
    }
}

macro_rules! encode_as_its_32_bytes {
    ($($name:ty),*) => {$(
        impl Encode for $name {
            fn encode(&self, writer: &mut Writer) {
                writer.raw(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                reader.array().map(Self)
            }
        }
    )*};
}

encode_as_its_32_bytes!(crate::ids::DeviceId, crate::ids::RoundId, crate::ids::Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_little_endian() {
        let mut writer = Writer::default();
        writer.u16(0x0102);
        writer.u32(0x0304_0506);
        writer.u64(7);
        assert_eq!(writer.finish(), [2, 1, 6, 5, 4, 3, 7, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_length_above_its_bound_is_refused_before_anything_is_read() {
        let bytes = u32::MAX.to_le_bytes();
        let refused = Err(CodecError::TooLong { length: u32::MAX as usize, bound: 10 });
        assert_eq!(Reader::new(&bytes).list::<[u8; 1]>(10), refused);
    }

    #[test]
    fn a_length_without_its_items_is_truncated() {
        let bytes = 10u32.to_le_bytes();
        assert_eq!(Reader::new(&bytes).list::<[u8; 1]>(10), Err(CodecError::Truncated));
    }

    #[test]
    fn an_option_is_0_or_1() {
        assert_eq!(Reader::new(&[0]).option::<[u8; 1]>(), Ok(None));
        assert_eq!(Reader::new(&[1, 9]).option::<[u8; 1]>(), Ok(Some([9])));
        assert!(matches!(
            Reader::new(&[2, 9]).option::<[u8; 1]>(),
            Err(CodecError::NotCanonical(_))
        ));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(<[u8; 2]>::decoded(&[1, 2, 3]), Err(CodecError::TrailingBytes));
    }
}
