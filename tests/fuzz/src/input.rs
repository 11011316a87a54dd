//! How a target that needs more than one value takes them from its bytes.

/// Bytes, taken from the front; zeros once there are no more.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// 0 to `count` - 1.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// A length in two bytes, and so many bytes or what there is.
    pub(crate) fn part(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        let (part, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        part
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
