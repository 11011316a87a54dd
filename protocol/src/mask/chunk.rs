//! The walk over one chunk: canary, lanes, canary, under one stream.
//!
//! The canary in front shifts the lanes by 8 bytes against the stream, so the first and the last
//! batch go through a buffer and all between straight from registers.

use super::Sign;
use super::word::{BLOCK, Word};
use crate::encoding::CANARY;
use zeroize::Zeroizing;

/// A cipher under one key that adds its stream to whole batches of words.
pub(super) trait Kernel {
    /// Bytes that it makes at a time: whole blocks, at most [`MOST_BATCH`].
    const BATCH: usize;

    /// Adds or subtracts the stream from byte `from` on. `from` is a multiple of
    /// `BATCH`, the blocks make whole batches.
    fn add<W: Word>(&mut self, from: u64, blocks: &mut [W::Block], sign: Sign);
}

/// Bytes of the longest batch.
pub(super) const MOST_BATCH: usize = 16 * BLOCK;
/// Bytes of one half.
const HALF: usize = 4;

/// A chunk's words, in the order of the wire.
pub(super) struct Span<'a, W> {
    pub(super) start: &'a mut u64,
    pub(super) lanes: &'a mut [W],
    pub(super) end: &'a mut u64,
}

/// Adds or subtracts the stream from byte `from` on, a multiple of [`MOST_BATCH`].
pub(super) fn mask<K: Kernel, W: Word>(kernel: &mut K, from: u64, span: Span<W>, sign: Sign) {
    let size = HALF * W::HALVES;
    let Span { start, lanes, end } = span;
    let (head, rest) = lanes.split_at_mut(lanes.len().min((K::BATCH - CANARY) / size));
    let (body, tail) = rest.split_at_mut(rest.len() - rest.len() % (K::BATCH / size));
    let is_all = body.is_empty() && tail.is_empty();

    let bytes = CANARY + size * head.len();
    let mut edge = Edge::new(kernel, from, if is_all { bytes + CANARY } else { bytes });
    edge.mask(std::slice::from_mut(start), sign);
    edge.mask(head, sign);
    if !is_all {
        let from = from + K::BATCH as u64;
        kernel.add::<W>(from, W::blocks(body), sign);
        let from = from + (size * body.len()) as u64;
        edge = Edge::new(kernel, from, size * tail.len() + CANARY);
        edge.mask(tail, sign);
    }
    edge.mask(std::slice::from_mut(end), sign);
}

/// A stretch of the stream by itself: up to one batch, and a canary that reaches over its end.
struct Edge {
    halves: Zeroizing<[u32; 2 * MOST_BATCH / HALF]>,
    used: usize,
}

impl Edge {
    fn new<K: Kernel>(kernel: &mut K, from: u64, bytes: usize) -> Self {
        let mut halves = Zeroizing::new([0; 2 * MOST_BATCH / HALF]);
        let made = bytes.next_multiple_of(K::BATCH) / HALF;
        kernel.add::<u32>(from, u32::blocks(&mut halves[..made]), Sign::Plus);
        Self { halves, used: 0 }
    }

    fn mask<W: Word>(&mut self, words: &mut [W], sign: Sign) {
        let upto = self.used + words.len() * W::HALVES;
        W::mask_halves(words, &self.halves[self.used..upto], sign);
        self.used = upto;
    }
}
