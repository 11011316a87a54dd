//! Known answers of the protocol's mathematics: what another implementation must reproduce, and
//! what no change may alter. Each test recomputes a file of `vectors/` and compares all of it.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::planner::Plan;
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::encoding::Layout;
use sealsum_protocol::graph::Graph;
use sealsum_protocol::mask::{MaskSeed, Sign, Suite, apply};
use sealsum_protocol::parameters::{CohortInputs, Parameters};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::split;
use serde_json::{Value, json};

#[track_caller]
fn assert_same(name: &str, published: &str, computed: Value) {
    let published: Value = serde_json::from_str(published).expect("JSON");
    let text = serde_json::to_string_pretty(&computed).expect("JSON");
    assert!(published == computed, "vectors/{name}.json should be:\n{text}\nend of {name}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn inputs(min_contributors: u32, corrupt: u32, dropout: u32) -> CohortInputs {
    CohortInputs {
        min_contributors,
        corrupt_share_permille: corrupt,
        dropout_share_permille: dropout,
    }
}

#[test]
fn parameters() {
    let cases = [
        (3, 3, 100, 200, 0),
        (5, 4, 100, 200, 0),
        (12, 6, 100, 350, 0),
        (12, 3, 100, 200, 4),
        (100, 3, 100, 200, 0),
        (101, 3, 100, 200, 0),
        (500, 3, 50, 100, 60),
        (1000, 3, 100, 100, 0),
        (10_000, 3, 100, 200, 0),
    ];
    let rows = cases.map(|(n, min_contributors, corrupt, dropout, corrupt_fleet)| {
        let found =
            Parameters::derive(&inputs(min_contributors, corrupt, dropout), n, corrupt_fleet)
                .expect("valid");
        json!({
            "n": n, "min_contributors": min_contributors, "corrupt_share_permille": corrupt,
            "dropout_share_permille": dropout, "corrupt_fleet": corrupt_fleet,
            "corrupt": found.corrupt, "complete": found.complete, "k": found.k, "t": found.t,
            "w_min": found.w_min, "quorum": found.quorum, "a_min": found.a_min,
            "c_max": found.c_max, "tolerated": found.tolerated(),
        })
    });
    assert_same("parameters", include_str!("vectors/parameters.json"), json!(rows));
}

#[test]
fn graph() {
    let rows = [(7, 0u8), (101, 1)].map(|(n, seed)| {
        let parameters = Parameters::derive(&inputs(3, 50, 50), n, 0).expect("valid");
        let ids: Vec<[u8; 32]> = (0..n).map(|i| [i as u8; 32]).collect();
        let graph = Graph::new(&parameters, &[seed; 32], &ids);
        let points: Vec<Value> = graph
            .neighbours(0)
            .iter()
            .map(|j| json!([j, graph.share_position(0, usize::from(*j))]))
            .collect();
        json!({
            "n": n, "k": parameters.k, "seed": hex(&[seed; 32]), "id_of_i": "byte i, 32 times",
            "neighbours_of_0_with_points": points, "neighbours_of_last": graph.neighbours(n - 1),
        })
    });
    assert_same("graph", include_str!("vectors/graph.json"), json!(rows));
}

#[test]
fn shares() {
    let rows = [(2, vec![1, 2, 3]), (4, vec![9, 1, 300, 65_535, 2])].map(|(threshold, points)| {
        let mut rng = rng(threshold as u8);
        let secret = SecretScalar::random(&mut rng);
        let shares = split(&secret, threshold, &points, &mut rng).expect("a sharing");
        let shares: Vec<String> = shares.iter().map(|share| hex(share.as_bytes())).collect();
        json!({
            "rng": format!("ChaCha20, key of bytes {threshold}; secret, then coefficients of x, x^2, …: 64 bytes each, little-endian modulo the group order"),
            "secret": hex(secret.as_bytes()), "threshold": threshold, "points": points,
            "shares": shares,
        })
    });
    assert_same("shares", include_str!("vectors/shares.json"), json!(rows));
}

#[test]
fn encoding() {
    let rows = [8, 16, 17, 21, 22, 25, 32, 33, 47, 64].map(|ring_bits| {
        let low = i64::MIN >> (64 - ring_bits);
        let values = [0, 1, -1, low, !low, -2, 5, -100];
        let layout = Layout::new(values.len(), ring_bits).expect("valid");
        let wire = layout.to_wire(0, &layout.encode_chunk(0, &values));
        json!({ "ring_bits": ring_bits, "values": values, "wire": hex(&wire) })
    });
    assert_same("encoding", include_str!("vectors/encoding.json"), json!(rows));
}

#[test]
fn masks() {
    let mut rows = Vec::new();
    for suite in [Suite::ChaCha20, Suite::Aes256Ctr] {
        for (ring_bits, full) in [(16, 32_760), (21, 24_570), (25, 16_380), (64, 8_190)] {
            let layout = Layout::new(full + 5, ring_bits).expect("valid");
            let mut words = layout.encode_chunk(1, &[3, -3, 0, 100, -100]);
            let seed = MaskSeed::init_with(|seed| {
                seed.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
            });
            apply(suite, &seed, 1, &mut words, Sign::Plus);
            rows.push(json!({
                "suite": suite.name(), "seed": hex(&std::array::from_fn::<u8, 32, _>(|i| i as u8)),
                "coordinates": full + 5, "ring_bits": ring_bits, "chunk": 1,
                "values": [3, -3, 0, 100, -100], "masked": hex(&layout.to_wire(1, &words)),
            }));
        }
    }
    assert_same("masks", include_str!("vectors/masks.json"), json!(rows));
}

#[test]
fn skellam() {
    let rows = [(1, 4), (1, 1), (123, 1), (1 << 24, 1), (5 << 24, 2)].map(|(numerator, denominator)| {
        let variance = Variance::new(numerator, denominator).expect("valid");
        let sampler = Sampler::new(Law::Skellam, &variance);
        let mut rng = rng(11);
        let draws: Vec<i64> = (0..16).map(|_| sampler.sample(&mut rng)).collect();
        json!({
            "variance": variance.to_string(), "draws": draws, "next_u64": rng.next_u64().to_string(),
            "rng": "ChaCha20, key of bytes 11; 64-bit words little-endian",
        })
    });
    assert_same("skellam", include_str!("vectors/skellam.json"), json!(rows));
}

#[test]
fn privacy() {
    let cases = [
        (1.0, 65_536, 15, 3.0, 12, 6),
        (1.0, 64, 650, 1.0, 100, 3),
        (0.1, 1 << 20, 1 << 20, 0.5, 1000, 500),
    ];
    let rows = cases.map(|(clip, scale, coordinates, z, n, min_contributors)| {
        let sensitivity = Sensitivity::new(clip, scale, coordinates).expect("valid");
        let cohort = inputs(min_contributors, 100, 200);
        let found = Parameters::derive(&cohort, n, 0).expect("valid");
        let variance = Variance::for_device(z, &sensitivity, found.a_min, found.corrupt)
            .expect("within bounds");
        let plan = Plan {
            coordinates,
            sensitivity: &sensitivity,
            rotated: false,
            noise_multiplier: Some(z),
            cohort: &cohort,
            max_devices: n as u32,
            corrupt_fleet: 0,
        };
        json!({
            "clip": clip, "scale": scale, "coordinates": coordinates, "noise_multiplier": z,
            "n": n, "min_contributors": min_contributors, "corrupt_share_permille": 100,
            "dropout_share_permille": 200, "a_min": found.a_min, "corrupt": found.corrupt,
            "l2_squared_units": sensitivity.l2_squared_units().to_string(),
            "variance": variance.to_string(), "ring_bits": plan.ring_bits().expect("fits"),
        })
    });
    assert_same("privacy", include_str!("vectors/privacy.json"), json!(rows));
}
