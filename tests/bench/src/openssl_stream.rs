//! OpenSSL's ChaCha20, as `openssl speed` runs it.

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use sealsum_protocol::mask::Suite;

/// Bytes of a call: what `openssl speed` takes as its largest.
const CALL: usize = 16_384;

/// A stream under one key.
pub(crate) struct Stream {
    context: CipherCtx,
    zeros: Vec<u8>,
    out: Vec<u8>,
}

impl Stream {
    /// From its first byte on.
    pub(crate) fn new(suite: Suite, key: &[u8; 32]) -> Self {
        let cipher = match suite {
            Suite::ChaCha20 => Cipher::chacha20(),
            Suite::Aes256Ctr => Cipher::aes_256_ctr(),
        };
        let mut context = CipherCtx::new().expect("a context");
        context.encrypt_init(Some(cipher), Some(key), Some(&[0; 16])).expect("a key");
        Self { context, zeros: vec![0; CALL], out: vec![0; CALL + 64] }
    }

    /// Makes `bytes` of the stream, in whole calls, and throws them away.
    pub(crate) fn run(&mut self, bytes: usize) {
        for _ in 0..bytes.div_ceil(CALL) {
            self.context.cipher_update(&self.zeros, Some(&mut self.out)).expect("a stream");
        }
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut stream = vec![0; bytes + 64];
        let made = self.context.cipher_update(&vec![0; bytes], Some(&mut stream));
        stream.truncate(made.expect("a stream"));
        stream
    }
}
