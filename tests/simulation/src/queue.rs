//! What is going to happen, in order of time; at one time, in the order in which it was planned.

use std::collections::BTreeMap;

/// Events by time and by the order in which they were planned.
pub(crate) struct Queue<E> {
    events: BTreeMap<(u64, u64), E>,
    planned: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), planned: 0 }
    }
}

impl<E> Queue<E> {
    /// Plans an event for a millisecond.
    pub(crate) fn plan(&mut self, at_ms: u64, event: E) {
        self.events.insert((at_ms, self.planned), event);
        self.planned += 1;
    }

    /// The next event and its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        self.events.pop_first().map(|((at_ms, _), event)| (at_ms, event))
    }
}
