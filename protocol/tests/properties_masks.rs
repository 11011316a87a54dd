//! Graphs are what every device computes alike; masks cancel on every one of them.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::encoding::{CHUNK_STREAM, ChunkWords, Layout};
use sealsum_protocol::graph::Graph;
use sealsum_protocol::mask::{MaskSeed, Sign, Suite, apply};
use sealsum_protocol::parameters::Parameters;

/// Any degree, also where a real cohort would have a complete graph.
fn parameters(n: usize, k: usize) -> Parameters {
    Parameters {
        n,
        corrupt: 1,
        complete: k == n - 1,
        k,
        t: k / 2 + 1,
        w_min: if k == n - 1 { 0 } else { 1 },
        quorum: n / 2 + 1,
        a_min: n / 2 + 1,
        c_max: 1,
    }
}

fn ids(n: usize, seed: u64) -> Vec<[u8; 32]> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut ids = vec![[0; 32]; n];
    ids.iter_mut().for_each(|id| rng.fill_bytes(id));
    ids.sort_unstable();
    ids
}

fn graph(n: usize, k: usize, seed: u64) -> Graph {
    Graph::new(&parameters(n, k), &[seed as u8; 32], &ids(n, seed))
}

prop_compose! {
    /// A cohort and a degree: complete, or even and below.
    fn shapes()(n in 3usize..24)(half in 1..=(n / 2), n in Just(n)) -> (usize, usize) {
        (n, if 2 * half >= n - 1 { n - 1 } else { 2 * half })
    }
}

proptest! {
    #[test]
    fn every_neighbourhood_has_k_members_and_points_1_to_k((n, k) in shapes(), seed: u64) {
        let graph = graph(n, k, seed);
        for i in 0..n {
            let neighbours = graph.neighbours(i);
            prop_assert!(neighbours.is_sorted() && neighbours.len() == k);
            let mut points = Vec::new();
            for j in 0..n {
                let listed = neighbours.contains(&(j as u16));
                prop_assert_eq!(graph.are_neighbours(i, j), listed);
                prop_assert_eq!(graph.are_neighbours(j, i), listed);
                points.extend(graph.share_position(i, j));
            }
            points.sort_unstable();
            prop_assert!(points.into_iter().eq(1..=k as u16));
            prop_assert_eq!(graph.share_position(i, i), None);
            prop_assert_eq!(graph.share_position(i, n), None);
        }
    }

    #[test]
    fn windows_are_checked_at_every_place((n, k) in shapes(), seed: u64) {
        prop_assume!(k < n - 1);
        let (graph, parameters) = (graph(n, k, seed), parameters(n, k));
        prop_assert!(graph.windows_hold(&parameters, |_| true));
        prop_assert!(!graph.windows_hold(&parameters, |_| false));
        // A device's points count ring places: those within k/2 ahead fill one window.
        let start = seed as usize % n;
        let gap = |i: usize| graph.share_position(start, i).is_some_and(|p| usize::from(p) <= k / 2);
        prop_assert!(!graph.windows_hold(&parameters, |i| !gap(i)));
        prop_assert!(graph.windows_hold(&parameters, |i| !gap(i) || graph.share_position(start, i) == Some(1)));
    }

    #[test]
    fn masks_cancel_on_every_graph(
        (n, k) in shapes(), ring_bits in 8u8..=64, seed: u64, lost: u32, aes: bool,
    ) {
        let suite = if aes { Suite::Aes256Ctr } else { Suite::ChaCha20 };
        let layout = Layout::new(9, ring_bits).expect("valid");
        let graph = graph(n, k, seed);
        let round = Round { suite, layout: &layout, graph: &graph, n };
        let dropped = |i: usize| lost >> (i % 32) & 1 == 1;
        let sum = round.unmasked_sum(&dropped);
        let survivors: Vec<usize> = (0..n).filter(|i| !dropped(*i)).collect();
        let expected: Vec<i64> =
            (0..9).map(|j| survivors.iter().map(|i| value(*i, j)).sum()).collect();
        prop_assert_eq!(layout.decode_chunk(0, &sum, survivors.len()).expect("counted"), expected);
    }

    #[test]
    fn a_mask_left_in_spoils_the_canaries(ring_bits in 8u8..=64, seed: u64) {
        let layout = Layout::new(9, ring_bits).expect("valid");
        let graph = graph(5, 4, seed);
        let round = Round { suite: Suite::ChaCha20, layout: &layout, graph: &graph, n: 5 };
        let mut sum = round.unmasked_sum(&|_| false);
        apply(Suite::ChaCha20, &pair_seed(0, 1), 0, &mut sum, Sign::Plus);
        prop_assert!(layout.decode_chunk(0, &sum, 5).is_err());
    }
}

/// Small and of both signs: the sum stays in every ring.
fn value(device: usize, coordinate: usize) -> i64 {
    (device * 7 + coordinate * 3) as i64 % 5 - 3
}

fn pair_seed(i: usize, j: usize) -> MaskSeed {
    MaskSeed::init_with(|seed| {
        (seed[0], seed[1]) = (i.min(j) as u8, i.max(j) as u8);
    })
}

fn self_seed(i: usize) -> MaskSeed {
    MaskSeed::init_with(|seed| (seed[0], seed[31]) = (i as u8, 1))
}

struct Round<'a> {
    suite: Suite,
    layout: &'a Layout,
    graph: &'a Graph,
    n: usize,
}

impl Round<'_> {
    fn masked(&self, i: usize) -> Vec<u8> {
        let values: Vec<i64> = (0..9).map(|j| value(i, j)).collect();
        let mut chunk = self.layout.encode_chunk(0, &values);
        apply(self.suite, &self_seed(i), 0, &mut chunk, Sign::Plus);
        for j in self.graph.neighbours(i).iter().map(|j| usize::from(*j)) {
            apply(self.suite, &pair_seed(i, j), 0, &mut chunk, Sign::of_pair(i, j));
        }
        self.layout.to_wire(0, &chunk)
    }

    /// What the server does: adds what arrived, takes off the self masks of those and the pair
    /// masks they share with the dropped.
    fn unmasked_sum(&self, dropped: &impl Fn(usize) -> bool) -> ChunkWords {
        let mut sum = self.layout.zero_chunk(0);
        for i in (0..self.n).filter(|i| !dropped(*i)) {
            self.layout.add_from_wire(0, &self.masked(i), &mut sum).expect("canonical");
            apply(self.suite, &self_seed(i), 0, &mut sum, Sign::Minus);
            let gone = self.graph.neighbours(i).iter().map(|j| usize::from(*j));
            for j in gone.filter(|j| dropped(*j)) {
                let sign = Sign::of_pair(i, j).opposite();
                apply(self.suite, &pair_seed(i, j), 0, &mut sum, sign);
            }
        }
        sum
    }
}

#[test]
fn the_ring_depends_on_seed_and_roster() {
    let parameters = parameters(30, 4);
    let neighbours = |seed: u8, roster: u64| {
        let graph = Graph::new(&parameters, &[seed; 32], &ids(30, roster));
        (0..30).map(|i| graph.neighbours(i).to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(neighbours(1, 1), neighbours(1, 1));
    assert_ne!(neighbours(1, 1), neighbours(2, 1));
    assert_ne!(neighbours(1, 1), neighbours(1, 2));
}

/// The mask itself, as 64-bit words: what a chunk of zeros becomes.
fn keystream(suite: Suite, key: [u8; 32], layout: &Layout, chunk: usize) -> Vec<u8> {
    let seed = MaskSeed::init_with(|seed| *seed = key);
    let mut words = layout.zero_chunk(chunk);
    apply(suite, &seed, chunk, &mut words, Sign::Plus);
    layout.to_wire(chunk, &words)
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

#[test]
fn chacha20_is_that_of_rfc_8439() {
    // Appendix A.1, test vectors 1 and 2: key and nonce zero, counters 0 and 1.
    let expected = unhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7
         da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586
         9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed
         29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    );
    let layout = Layout::new(14, 64).expect("valid");
    assert_eq!(keystream(Suite::ChaCha20, [0; 32], &layout, 0), expected);
}

#[test]
fn aes256ctr_is_that_of_the_gcm_specification() {
    // McGrew and Viega, test cases 13 and 14: the zero key over counters 1 and 2; AESAVS for 0.
    let expected = unhex(
        "dc95c078a2408989ad48a21492842087
         530f8afbc74536b9a963b4f1c4cb738b
         cea7403d4d606b6e074ec5d3baf39d18",
    );
    let layout = Layout::new(4, 64).expect("valid");
    assert_eq!(keystream(Suite::Aes256Ctr, [0; 32], &layout, 0), expected);
}

#[test]
fn each_chunk_has_its_place_in_the_stream() {
    let key = [42; 32];
    let mut stream = vec![0; 3 * CHUNK_STREAM];
    ChaCha20Rng::from_seed(key).fill_bytes(&mut stream);
    for (ring_bits, full) in [(16, 32_760), (21, 24_570), (32, 16_380), (64, 8_190)] {
        let layout = Layout::new(2 * full + 8, ring_bits).expect("valid");
        for chunk in 0..3 {
            let found = keystream(Suite::ChaCha20, key, &layout, chunk);
            let place = &stream[chunk * CHUNK_STREAM..];
            assert_eq!(found, place[..found.len()], "{ring_bits} {chunk}");
        }
    }
    // Lanes of 25 bits take 32 bits of stream each, of which the wire keeps the low 25.
    let layout = Layout::new(1, 25).expect("valid");
    let found = keystream(Suite::ChaCha20, key, &layout, 0);
    assert_eq!((&found[..8], &found[8..11], found[11] & !1), (&stream[..8], &stream[8..11], 0));
    assert_eq!(found[12..], stream[12..20]);
}

#[test]
fn chunks_of_both_suites_are_seekable() {
    let layout = Layout::new(8_190 * 2, 64).expect("valid");
    let first = keystream(Suite::Aes256Ctr, [7; 32], &layout, 0);
    let second = keystream(Suite::Aes256Ctr, [7; 32], &layout, 1);
    // Counter blocks 0 and 4096 of AES-256 under the key of sevens differ and neither repeats.
    assert_ne!(first[..16], second[..16]);
    assert_ne!(first[CHUNK_STREAM - 16..], second[..16]);
    for suite in [Suite::ChaCha20, Suite::Aes256Ctr] {
        assert_eq!(Suite::from_name(suite.name()), Some(suite));
    }
    assert_eq!(Suite::from_name("aes128ctr"), None);
}
