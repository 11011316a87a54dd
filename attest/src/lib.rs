//! Evidence and judgement: what a device must show to be enrolled, and the checks on it.
//!
//! Pure: no files, no sockets, no clock, no randomness of its own and no TPM. The time is an
//! argument `now`, randomness a generator that the caller brings, evidence is bytes.
//!
//! | module | in a sentence |
//! |---|---|
//! | [`ids`], [`messages`] | who takes part, and the JSON bodies they exchange |
//! | [`tpm`] | TPM structures, parsed strictly |
//! | [`endorsement`], [`templates`] | which TPM it is, and what its keys must be |
//! | [`activation`], [`binding`] | what proves that the keys belong together, and to this session |
//! | [`quote`], [`pcr`], [`csr`] | what the keys signed |
//! | [`policy`], [`verify`] | which evidence is good enough, and the judgement as lists of checks |
//! | [`evidence`] | what is kept of an enrolment, and the judgement on it repeated offline |
//! | [`refusals`] | every way to fail, numbered |
//! | [`certificate`], [`names`], [`status`], [`result`] | what the authority issues, and how others check it |
//! | [`events`], [`inclusion`] | what its log says, and that a certificate is in it |
//! | [`tlog`] | the log itself: a Merkle tree, its proofs, its signed heads |
//!
//! Who must trust what: the authority trusts the installed anchors; devices and the aggregator
//! trust the pinned certificate authority and what it signs; nobody trusts what a TPM's storage
//! holds, since anybody with owner authorisation can write it. Start reading at [`verify`].

pub mod activation;
pub mod binding;
pub mod certificate;
pub mod csr;
pub mod endorsement;
pub mod events;
pub mod evidence;
pub mod hex;
pub mod ids;
pub mod inclusion;
pub mod messages;
pub mod names;
pub mod pcr;
pub mod policy;
pub mod quote;
pub mod refusals;
pub mod result;
pub mod roster_proof;
pub mod status;
pub mod templates;
pub mod tlog;
pub mod tpm;
pub mod verify;
