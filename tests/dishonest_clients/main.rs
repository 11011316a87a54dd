//! Devices that lie, at most c(n) of them, among honest ones that hear and say bytes, against the
//! shipped aggregator: the round gives the exact sum of who contributed, or ends by name.
//!
//! | module | what they lie about |
//! |---|---|
//! | [`dealing`] | shares, commitments, acknowledgements |
//! | [`uploading`] | masked inputs and what is signed with them |
//! | [`revealing`] | signatures on the survivors, answers |
//! | [`stopping`] | silence at each step, floods, messages of others, malformed bytes |
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod dealing;
mod revealing;
mod session;
mod stopping;
mod uploading;
