//! The loops that a round spends its time in, each with what it needs and always the same.

use std::hint::black_box;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::clip::{NotFinite, clip};
use sealsum_protocol::dp::hadamard::Rotation;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::rounding::round_stochastic;
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::encoding::Layout;
use sealsum_protocol::mask::{Backend, MaskSeed, Sign, Suite};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{Share, recover, split};
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::transcript::chunk_leaf;

use crate::pair::Pair;

/// One turn of a loop, which checks that it did something.
pub(crate) type Turn = Box<dyn FnMut()>;

/// What makes a loop ready.
type Start = fn() -> Turn;

/// Each loop by its name.
pub(crate) const ALL: [(&str, Start); 11] = [
    ("mask_chacha20_avx2", || mask(Suite::ChaCha20, "avx2")),
    ("mask_chacha20_portable", || mask(Suite::ChaCha20, "portable")),
    ("mask_aes256ctr_portable", || mask(Suite::Aes256Ctr, "portable")),
    ("agreement", agreement),
    ("signature_verified", verified),
    ("secret_shared_and_rebuilt", shared_and_rebuilt),
    ("chunk_hashed", hashed),
    ("chunk_read_and_added", read_and_added),
    ("vector_clipped_rotated_rounded", rounded),
    ("noise_by_a_short_table", || noise(16)),
    ("noise_by_a_long_table", || noise(512)),
];

/// Coordinates of the privacy step.
const COORDINATES: usize = 4096;
/// Coordinates of a chunk of masked sums.
const CHUNK: usize = 10_000;

fn layout() -> Layout {
    Layout::new(CHUNK, 21).expect("a layout")
}

fn mask(suite: Suite, name: &str) -> Turn {
    let backend = Backend::available(suite).into_iter().find(|backend| backend.name() == name);
    let backend = backend.expect("a back end that this CPU has");
    let seed = MaskSeed::init_with(|seed| *seed = [42; 32]);
    let mut words = layout().zero_chunk(0);
    Box::new(move || {
        backend.apply(&seed, 0, &mut words, Sign::Plus);
        black_box(&words);
    })
}

fn agreement() -> Turn {
    let pair = Pair::new();
    Box::new(move || assert!(pair.agrees()))
}

fn verified() -> Turn {
    let key = SecretKey::from_seed(&[1; 32]);
    let (message, public) = ([2; 200], key.public());
    let signature = key.sign(&message);
    Box::new(move || assert!(black_box(&public).verifies(&message, &signature)))
}

/// Among 55, at other points each time.
fn shared_and_rebuilt() -> Turn {
    const T: usize = 55;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = SecretScalar::random(&mut rng);
    let mut first = 0;
    Box::new(move || {
        first += 1;
        let points: Vec<u16> = (first..).take(T).collect();
        let shares = split(&secret, T, &points, &mut rng).expect("a sharing");
        let shares: Vec<(u16, Share)> = points.into_iter().zip(shares).collect();
        assert!(recover(&shares, T).expect("enough").as_bytes() == secret.as_bytes());
    })
}

fn hashed() -> Turn {
    let bytes = vec![7; 1 << 16];
    Box::new(move || assert!(black_box(chunk_leaf(1, &bytes)).0 != [0; 32]))
}

/// What the aggregator does with each chunk of an upload.
fn read_and_added() -> Turn {
    let layout = layout();
    let mut sum = layout.zero_chunk(0);
    let bytes = layout.to_wire(0, &layout.encode_chunk(0, &[1; CHUNK]));
    Box::new(move || {
        layout.add_from_wire(0, black_box(&bytes), &mut sum).expect("a chunk");
        black_box(&sum);
    })
}

fn rounded() -> Turn {
    const SCALE: u64 = 4096;
    let sensitivity = Sensitivity::new(1.0, SCALE, COORDINATES).expect("a valid task");
    let update: Vec<f64> = (0..COORDINATES).map(|place| (place as f64 * 0.7).sin()).collect();
    let rotation = Rotation::new(COORDINATES, [3; 32]);
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    Box::new(move || {
        let vector = || {
            let mut vector = clip(update.clone(), 1.0)?;
            vector.rotate(&rotation);
            Ok::<_, NotFinite>(vector)
        };
        let integers = round_stochastic(vector, SCALE, &sensitivity, &mut rng).expect("finite");
        assert!(black_box(integers).len() == COORDINATES);
    })
}

/// Of such a deviation.
fn noise(deviation: u128) -> Turn {
    let variance = Variance::new(deviation * deviation, 1).expect("a variance");
    let sampler = Sampler::new(Law::Skellam, &variance);
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let mut integers = vec![0; COORDINATES];
    Box::new(move || {
        sampler.add_to(&mut integers, &mut rng);
        black_box(&integers);
    })
}
