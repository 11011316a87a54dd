//! A request body that has to arrive in time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// The body came too slowly.
#[derive(Debug)]
pub(super) struct Slow;

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl std::error::Error for Slow {}

/// Fails with [`Slow`] if a piece, or the whole, takes too long.
pub(super) struct Timed {
    inner: Incoming,
    stall: Duration,
    next_piece: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
}

impl Timed {
    /// `stall` is for each piece, `whole` for everything.
    pub(super) fn new(inner: Incoming, stall: Duration, whole: Duration) -> Timed {
        let (next_piece, whole) = (Box::pin(sleep(stall)), Box::pin(sleep(whole)));
        Timed { inner, stall, next_piece, whole }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let next = Instant::now() + self.stall;
            self.next_piece.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let late = self.next_piece.as_mut().poll(context).is_ready()
            || self.whole.as_mut().poll(context).is_ready();
        if late { Poll::Ready(Some(Err(Box::new(Slow)))) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
