//! Instructions of the innermost loops, counted by callgrind: what no other load on the machine moves.
//!
//! Callgrind knows no AVX-512, so the counts are those of machines without it. A loop is counted as
//! the difference of two processes, one of which runs it more often.

use std::process::Command;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::encoding::Layout;
use sealsum_protocol::mask::{Backend, MaskSeed, Sign, Suite};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{Share, recover, split};
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::transcript::chunk_leaf;

use crate::model::Pair;
use crate::summary::Row;

/// The argument that runs a loop: its name and how often follow.
pub(crate) const LOOP: &str = "loop";
/// Loop and instructions of one turn, as counted when they last changed for a reason.
const RECORDED: &str = include_str!("../instructions.txt");
/// How often more the second process runs a loop.
const MORE: u64 = 4;
/// What a compiler may do without anybody's asking.
const SLACK: f64 = 1.1;

/// Runs a loop, if there is one of that name.
pub(crate) fn turn(name: &str, times: u64) -> Option<()> {
    let mut turn: Box<dyn FnMut()> = match name {
        "mask_chacha20_avx2" => mask(named(Suite::ChaCha20, "avx2")?),
        "mask_chacha20_portable" => mask(named(Suite::ChaCha20, "portable")?),
        "mask_aes256ctr_portable" => mask(named(Suite::Aes256Ctr, "portable")?),
        "agreement" => {
            let pair = Pair::new();
            Box::new(move || assert!(pair.agrees()))
        }
        "signature_verified" => verified(),
        "secret_shared_and_rebuilt" => shared_and_rebuilt(),
        "chunk_hashed" => {
            let bytes = vec![7; 1 << 16];
            Box::new(move || assert!(std::hint::black_box(chunk_leaf(1, &bytes)).0 != [0; 32]))
        }
        _ => return None,
    };
    (0..times).for_each(|_| turn());
    Some(())
}

fn named(suite: Suite, name: &str) -> Option<Backend> {
    Backend::available(suite).into_iter().find(|backend| backend.name() == name)
}

fn mask(backend: Backend) -> Box<dyn FnMut()> {
    let layout = Layout::new(10_000, 21).expect("a layout");
    let seed = MaskSeed::init_with(|seed| *seed = [42; 32]);
    let mut words = layout.zero_chunk(0);
    Box::new(move || backend.apply(&seed, 0, &mut words, Sign::Plus))
}

fn verified() -> Box<dyn FnMut()> {
    let key = SecretKey::from_seed(&[1; 32]);
    let (message, public) = ([2; 200], key.public());
    let signature = key.sign(&message);
    Box::new(move || assert!(public.verifies(&message, &signature)))
}

/// Among 55, at other points each time.
fn shared_and_rebuilt() -> Box<dyn FnMut()> {
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

/// A loop's instructions over those recorded, for each recorded loop.
pub(crate) fn rows() -> Vec<Row> {
    let recorded = RECORDED.lines().filter(|line| !line.starts_with('#'));
    recorded.map(|line| row(line.split_once(' ').expect("a name and a number"))).collect()
}

fn row((name, recorded): (&str, &str)) -> Row {
    let instructions = (counted(name, 1 + MORE) - counted(name, 1)) / MORE;
    let recorded: f64 = recorded.parse().expect("a number of instructions");
    Row {
        name: format!("instructions_{name}"),
        value: instructions as f64,
        unit: "instructions".to_owned(),
        peer: "as recorded in tests/bench/instructions.txt".to_owned(),
        ratio: instructions as f64 / recorded,
        higher_is_better: false,
        target: Some(SLACK),
        backend: "without AVX-512".to_owned(),
    }
}

/// Instructions of a process that runs a loop so many times.
fn counted(name: &str, times: u64) -> u64 {
    let own = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args([LOOP, name, &times.to_string()])
        .output()
        .expect("valgrind, which packaging/deps.sh bench installs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let count =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind counted nothing: {said}"))
}
