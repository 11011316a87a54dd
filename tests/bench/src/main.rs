//! scratch
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use rustix::time::{ClockId, clock_gettime};
use sealsum_protocol::encoding::{ChunkWords, Layout};
use sealsum_protocol::mask::{Backend, MaskSeed, Sign, Suite};
fn now() -> f64 { let t = clock_gettime(ClockId::ThreadCPUTime); t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9 }
fn main() {
    let d = std::env::args().nth(1).map_or(1_000_000, |a| a.parse().unwrap());
    let seed = MaskSeed::init_with(|s| s[0] = 3);
    for bits in [21u8, 32, 64] {
        let layout = Layout::new(d, bits).unwrap();
        let mut chunks: Vec<ChunkWords> = (0..layout.chunks()).map(|c| layout.zero_chunk(c)).collect();
        let bytes: usize = chunks.len() * 65536;
        for suite in [Suite::ChaCha20, Suite::Aes256Ctr] {
            for backend in Backend::available(suite) {
                let mut ratios = vec![]; let mut gbs = vec![];
                for _ in 0..15 {
                    let reps = (64_000_000 / bytes).max(1);
                    let t = now();
                    for _ in 0..reps { for (i, c) in chunks.iter_mut().enumerate() { backend.apply(&seed, i, c, Sign::Plus); } }
                    let ours = now() - t;
                    let mut ctx = CipherCtx::new().unwrap();
                    ctx.encrypt_init(Some(Cipher::chacha20()), Some(&[0; 32]), Some(&[0; 16])).unwrap();
                    let (zeros, mut out) = (vec![0u8; 16384], vec![0u8; 16384 + 64]);
                    let t = now();
                    for _ in 0..reps * bytes / 16384 { ctx.cipher_update(&zeros, Some(&mut out)).unwrap(); }
                    let theirs = now() - t;
                    ratios.push(theirs / ours); gbs.push((reps * bytes) as f64 / ours / 1e9);
                }
                ratios.sort_by(f64::total_cmp); gbs.sort_by(f64::total_cmp);
                println!("{bits} {} {}: {:.2} GB/s ratio {:.3}", suite.name(), backend.name(), gbs[7], ratios[7]);
            }
        }
    }
}
