//! The four ways to put signed integers into machine words.

use super::chunk::Lanes;

/// The packing of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Fields of so many bits in a 64-bit word, all bits of which go on the wire.
    Packed {
        /// Bits of a field.
        width: usize,
        /// Fields in a word.
        fields: usize,
    },
    /// A 32-bit word each.
    Half,
    /// A 64-bit word each.
    Whole,
}

impl Lane {
    pub(super) fn for_ring(ring_bits: u8) -> Option<Self> {
        match ring_bits {
            8..=16 => Some(Self::Packed { width: 16, fields: 4 }),
            17..=21 => Some(Self::Packed { width: 21, fields: 3 }),
            22..=32 => Some(Self::Half),
            33..=64 => Some(Self::Whole),
            _ => None,
        }
    }

    /// Coordinates in a lane.
    pub(super) fn fields(self) -> usize {
        match self {
            Self::Packed { fields, .. } => fields,
            Self::Half | Self::Whole => 1,
        }
    }

    /// Bytes of mask stream that a lane takes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Half => 4,
            Self::Packed { .. } | Self::Whole => 8,
        }
    }

    /// Bits of a lane that go on the wire.
    pub(super) fn wire_bits(self, ring_bits: u8) -> usize {
        match self {
            Self::Packed { .. } => 64,
            Self::Half | Self::Whole => usize::from(ring_bits),
        }
    }

    /// So many lanes of zero.
    pub(super) fn lanes(self, count: usize) -> Lanes {
        match self {
            Self::Half => Lanes::Half(vec![0; count]),
            Self::Packed { .. } | Self::Whole => Lanes::Whole(vec![0; count]),
        }
    }

    pub(super) fn encode(self, values: &[i64]) -> Lanes {
        match self {
            Self::Packed { width, fields } => {
                Lanes::Whole(values.chunks(fields).map(|group| pack(group, width)).collect())
            }
            Self::Half => Lanes::Half(values.iter().map(|value| *value as u32).collect()),
            Self::Whole => Lanes::Whole(values.iter().map(|value| *value as u64).collect()),
        }
    }

    /// The first `count` values of `lanes`.
    pub(super) fn decode(self, lanes: &Lanes, count: usize, ring_bits: u8) -> Vec<i64> {
        let mut values: Vec<i64> = match (self, lanes) {
            (Self::Packed { width, fields }, Lanes::Whole(words)) => {
                words.iter().flat_map(|word| unpack(*word, width, fields)).collect()
            }
            (_, Lanes::Whole(words)) => {
                words.iter().map(|word| sign_extend(*word, ring_bits.into())).collect()
            }
            (_, Lanes::Half(words)) => {
                words.iter().map(|word| sign_extend(u64::from(*word), ring_bits.into())).collect()
            }
        };
        values.truncate(count);
        values
    }
}

/// sum v_j 2^(width j) modulo 2^64: a negative value borrows from the fields above it.
fn pack(values: &[i64], width: usize) -> u64 {
    values.iter().rev().fold(0, |word: u64, value| (word << width).wrapping_add(*value as u64))
}

/// From the low field up: take it sign-extended, subtract it, shift. The top field takes all the
/// bits that remain.
fn unpack(mut word: u64, width: usize, fields: usize) -> impl Iterator<Item = i64> {
    (0..fields).map(move |field| {
        let bits = if field + 1 == fields { 64 - width * (fields - 1) } else { width };
        let value = sign_extend(word, bits);
        word = word.wrapping_sub(value as u64) >> width;
        value
    })
}

/// The low `bits` bits as a signed integer.
fn sign_extend(word: u64, bits: usize) -> i64 {
    let unused = 64 - bits;
    ((word << unused) as i64) >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_run_upward_and_come_back() {
        let word = pack(&[-1, 0, 0, 7], 16);
        assert_eq!(word, (7u64 << 48) - 1);
        assert_eq!(unpack(word, 16, 4).collect::<Vec<_>>(), [-1, 0, 0, 7]);
    }

    #[test]
    fn the_top_field_takes_the_bits_that_remain() {
        let high = (1 << 21) - 1;
        let word = pack(&[-5, -(1 << 20), high], 21);
        assert_eq!(unpack(word, 21, 3).collect::<Vec<_>>(), [-5, -(1 << 20), high]);
    }
}
