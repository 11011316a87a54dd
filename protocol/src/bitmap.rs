//! A set of devices, as one bit for each place in the roster.

use crate::codec::{CodecError, Decode, Encode, Reader, Writer};
use crate::parameters::LARGEST_COHORT;

/// A subset of `len` places, bit i of byte i / 8 for place i, padding bits zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    len: usize,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// The empty subset of `len` places.
    pub fn empty(len: usize) -> Self {
        Self { len, bytes: vec![0; len.div_ceil(8)] }
    }

    /// The subset of `len` places that `places` lists. Places outside are left out.
    pub fn of(len: usize, places: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::empty(len);
        places.into_iter().for_each(|place| set.insert(place));
        set
    }

    /// The number of places, in the set or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no places at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of places in the set.
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether `place` is in the set.
    pub fn contains(&self, place: usize) -> bool {
        place < self.len && self.bytes[place / 8] >> (place % 8) & 1 == 1
    }

    /// Puts `place` in the set, if there is such a place.
    pub fn insert(&mut self, place: usize) {
        if place < self.len {
            self.bytes[place / 8] |= 1 << (place % 8);
        }
    }

    /// The places in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|&place| self.contains(place))
    }

    /// Whether no place is in both sets.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.bytes.iter().zip(&other.bytes).all(|(ours, theirs)| ours & theirs == 0)
    }

    /// The places in either set. The sets must have the same number of places.
    pub fn union(&self, other: &Self) -> Self {
        let bytes = self.bytes.iter().zip(&other.bytes).map(|(ours, theirs)| ours | theirs);
        Self { len: self.len, bytes: bytes.collect() }
    }

    /// The places of this set that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let bytes = self.bytes.iter().zip(&other.bytes).map(|(ours, theirs)| ours & !theirs);
        Self { len: self.len, bytes: bytes.collect() }
    }
}

impl Encode for Bitmap {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.len as u16);
        writer.raw(&self.bytes);
    }
}

impl Decode for Bitmap {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = usize::from(reader.u16()?);
        if len > LARGEST_COHORT {
            return Err(CodecError::TooLong { length: len, bound: LARGEST_COHORT });
        }
        let bytes = reader.raw(len.div_ceil(8))?.to_vec();
        let padding = bytes.len() * 8 - len;
        if bytes.last().is_some_and(|last| u32::from(*last) >> (8 - padding) != 0) {
            return Err(CodecError::NotCanonical("a padding bit of a bitmap is set"));
        }
        Ok(Self { len, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_goes_round() {
        for len in 0..40 {
            let set = Bitmap::of(len, (0..len).filter(|place| place % 3 != 1));
            assert_eq!(Bitmap::decoded(&set.encoded()), Ok(set));
        }
    }

    #[test]
    fn padding_is_zero() {
        assert!(Bitmap::decoded(&[3, 0, 0b111]).is_ok());
        assert!(matches!(Bitmap::decoded(&[3, 0, 0b1111]), Err(CodecError::NotCanonical(_))));
        assert!(Bitmap::decoded(&[8, 0, 0xff]).is_ok());
    }

    #[test]
    fn set_operations() {
        let (a, b) = (Bitmap::of(10, [0, 3, 9]), Bitmap::of(10, [1, 8]));
        assert!(a.is_disjoint(&b) && !a.is_disjoint(&Bitmap::of(10, [9])));
        assert_eq!(a.union(&b).iter().collect::<Vec<_>>(), [0, 1, 3, 8, 9]);
        assert_eq!(a.without(&Bitmap::of(10, [3])).count(), 2);
        assert!(!a.contains(10));
    }
}
