//! Encoding at every ring width: sums come back exactly, bytes have one form, canaries count.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::encoding::{ChunkWords, Layout, LayoutError, WireError};

/// The sum of the vectors, each sent over the wire as one chunk.
fn sum_over_wire(layout: &Layout, vectors: &[Vec<i64>]) -> ChunkWords {
    let mut sum = layout.zero_chunk(0);
    for vector in vectors {
        let bytes = layout.to_wire(0, &layout.encode_chunk(0, vector));
        assert_eq!(bytes.len(), layout.chunk_wire_len(0));
        layout.add_from_wire(0, &bytes, &mut sum).expect("canonical");
    }
    sum
}

/// Vectors whose sum in each coordinate is `sums`, with parts of either sign and any size: the
/// single parts may leave the ring, only the sums may not.
fn vectors_with_sums(sums: &[i64], n: usize, rng: &mut ChaCha20Rng) -> Vec<Vec<i64>> {
    let mut vectors: Vec<Vec<i64>> =
        (1..n).map(|_| sums.iter().map(|_| rng.next_u32() as i32 as i64).collect()).collect();
    let last = sums
        .iter()
        .enumerate()
        .map(|(j, sum)| vectors.iter().fold(*sum, |rest, vector| rest.wrapping_sub(vector[j])));
    vectors.push(last.collect());
    vectors
}

fn extremes(ring_bits: u8) -> [i64; 6] {
    let low = i64::MIN >> (64 - ring_bits);
    [low, -1, 0, 1, !low, low + 1]
}

proptest! {
    #[test]
    fn sums_are_exact_at_every_width(
        ring_bits in 8u8..=64, n in 1usize..9, coordinates in 1usize..60, seed: u64,
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let layout = Layout::new(coordinates, ring_bits).expect("valid");
        let sums: Vec<i64> = (0..coordinates)
            .map(|_| match rng.next_u32() % 3 {
                0 => extremes(ring_bits)[rng.next_u32() as usize % 6],
                _ => (rng.next_u64() as i64) >> (64 - ring_bits),
            })
            .collect();
        let sum = sum_over_wire(&layout, &vectors_with_sums(&sums, n, &mut rng));
        prop_assert_eq!(layout.decode_chunk(0, &sum, n).expect("counted"), sums);
    }

    #[test]
    fn sums_with_noise_are_exact_at_every_width(
        ring_bits in 8u8..=64, n in 2usize..20, seed: u64,
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let sampler = Sampler::new(Law::Skellam, &Variance::new(5, 2).expect("valid"));
        let layout = Layout::new(13, ring_bits).expect("valid");
        let vectors: Vec<Vec<i64>> = (0..n)
            .map(|_| {
                let mut vector: Vec<i64> =
                    (0..13).map(|_| i64::from(rng.next_u32() % 5) - 4).collect();
                sampler.add_to(&mut vector, &mut rng);
                vector
            })
            .collect();
        let sums: Vec<i64> = (0..13).map(|j| vectors.iter().map(|v| v[j]).sum()).collect();
        prop_assume!(sums.iter().all(|s| (i64::MIN >> (64 - ring_bits)..=!(i64::MIN >> (64 - ring_bits))).contains(s)));
        let sum = sum_over_wire(&layout, &vectors);
        prop_assert_eq!(layout.decode_chunk(0, &sum, n).expect("counted"), sums);
    }

    #[test]
    fn what_was_added_can_be_subtracted(ring_bits in 8u8..=64, seed: u64) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let layout = Layout::new(10, ring_bits).expect("valid");
        let vectors = vectors_with_sums(&[1; 10], 2, &mut rng);
        let mut sum = sum_over_wire(&layout, &vectors);
        sum.sub_assign(&layout.encode_chunk(0, &vectors[0]));
        let bytes = layout.to_wire(0, &sum);
        prop_assert_eq!(bytes, layout.to_wire(0, &layout.encode_chunk(0, &vectors[1])));
    }

    #[test]
    fn any_bytes_are_refused_or_are_the_one_form_of_a_chunk(
        ring_bits in 8u8..=64, coordinates in 1usize..20, seed: u64,
    ) {
        let layout = Layout::new(coordinates, ring_bits).expect("valid");
        let mut bytes = vec![0; layout.chunk_wire_len(0)];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let before = layout.encode_chunk(0, &vec![-1; coordinates]);
        let mut sum = before.clone();
        let added = layout.add_from_wire(0, &bytes, &mut sum);
        prop_assert_eq!(&added, &layout.check_wire(0, &bytes));
        prop_assert_eq!(added.err(), layout.from_wire(0, &bytes).err());
        if let Ok(chunk) = layout.from_wire(0, &bytes) {
            prop_assert_eq!(&layout.to_wire(0, &chunk), &bytes);
            sum.sub_assign(&before);
            prop_assert_eq!(layout.to_wire(0, &sum), bytes);
        } else {
            prop_assert!(sum == before);
        }
    }
}

/// Packing each field modulo 2^w instead of the whole word in the integers puts the number of
/// negative inputs into the field above.
#[test]
fn packing_residues_would_not_decode() {
    for (ring_bits, width) in [(16, 16), (21, 21)] {
        let layout = Layout::new(8, ring_bits).expect("valid");
        let vectors = [vec![-3; 8], vec![-4; 8]];
        let residues: Vec<Vec<i64>> = vectors
            .iter()
            .map(|vector| vector.iter().map(|q: &i64| q.rem_euclid(1 << width)).collect())
            .collect();
        let right = sum_over_wire(&layout, &vectors);
        assert_eq!(layout.decode_chunk(0, &right, 2).expect("counted"), [-7; 8]);
        let mutant = sum_over_wire(&layout, &residues);
        assert_ne!(layout.decode_chunk(0, &mutant, 2).expect("counted"), [-7; 8]);
    }
}

#[test]
fn canaries_count_the_contributors() {
    for ring_bits in [16, 21, 32, 64] {
        let layout = Layout::new(5, ring_bits).expect("valid");
        let sum = sum_over_wire(&layout, &vec![vec![1; 5]; 3]);
        assert!(layout.decode_chunk(0, &sum, 3).is_ok());
        for wrong in [0, 2, 4] {
            let refused = layout.decode_chunk(0, &sum, wrong).expect_err("miscounted");
            assert_eq!((refused.start, refused.end, refused.contributors), (3, 3, wrong));
        }
        for at in [0, layout.chunk_wire_len(0) - 8] {
            let mut bytes = layout.to_wire(0, &sum);
            bytes[at] += 1;
            let off = layout.from_wire(0, &bytes).expect("canonical");
            assert!(layout.decode_chunk(0, &off, 3).is_err(), "{ring_bits} {at}");
        }
    }
}

#[test]
fn chunks_cover_the_vector_and_fill_whole_streams() {
    for (ring_bits, full) in [(8, 32_760), (16, 32_760), (17, 24_570), (22, 16_380), (33, 8_190)] {
        for (coordinates, chunks) in [(1, 1), (full, 1), (full + 1, 2), (5 * full, 5)] {
            let layout = Layout::new(coordinates, ring_bits).expect("valid");
            assert_eq!(layout.chunks(), chunks, "{ring_bits} {coordinates}");
            let covered = (0..chunks).flat_map(|chunk| layout.chunk_coordinates(chunk));
            assert!(covered.eq(0..coordinates));
            assert!(layout.chunk_coordinates(chunks).is_empty());
            assert!((0..chunks).all(|chunk| layout.chunk_wire_len(chunk) <= 1 << 16));
        }
    }
    let packed = Layout::new(24_570, 21).expect("valid");
    assert_eq!(packed.chunk_wire_len(0), 1 << 16);
    let bits = Layout::new(3, 25).expect("valid");
    assert_eq!(bits.chunk_wire_len(0), 8 + 10 + 8);
}

#[test]
fn layouts_out_of_bounds_are_refused() {
    for coordinates in [0, (1 << 26) + 1] {
        assert_eq!(Layout::new(coordinates, 32), Err(LayoutError::Coordinates(coordinates)));
    }
    for bits in [0, 7, 65, 255] {
        assert_eq!(Layout::new(1, bits), Err(LayoutError::RingBits(bits)));
    }
    assert!(Layout::new(1 << 26, 64).is_ok() && Layout::new(1, 8).is_ok());
}

#[test]
fn bytes_of_another_length_or_with_padding_are_refused() {
    let layout = Layout::new(3, 25).expect("valid");
    let bytes = layout.to_wire(0, &layout.encode_chunk(0, &[1, -1, 0]));
    for given in [0, 7, 15, 25, 27] {
        let mut other = bytes.clone();
        other.resize(given, 0);
        let refused = layout.from_wire(0, &other).err();
        assert_eq!(refused, Some(WireError::Length { chunk: 0, given, expected: 26 }));
    }
    let mut padded = bytes.clone();
    padded[17] |= 1 << 3; // Bit 75 of 75.
    assert_eq!(layout.from_wire(0, &padded).err(), Some(WireError::Padding { chunk: 0 }));
    let mut last = bytes;
    last[17] |= 1 << 2; // Bit 74, the top bit of the last coordinate.
    assert!(layout.from_wire(0, &last).is_ok());
}
