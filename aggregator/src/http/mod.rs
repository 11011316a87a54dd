//! The round interface for devices, over mutual TLS: one file per resource; decode, call, encode.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/rounds/open?wait=S` | | list of [`Announcement`]s this device has not entered |
//! | `POST /v1/rounds/{id}/advertise` | [`Advertise`] | 202 |
//! | `GET /v1/rounds/{id}/roster?wait=S` | | [`Roster`] |
//! | `POST /v1/rounds/{id}/shares` | [`SharedKeys`] | 202 |
//! | `GET /v1/rounds/{id}/shares?wait=S` | | [`InboundShares`] |
//! | `POST /v1/rounds/{id}/acks` | [`ShareAck`] | 202 |
//! | `GET /v1/rounds/{id}/sharers?wait=S` | | [`Sharers`] |
//! | `PUT /v1/rounds/{id}/masked/{chunk}` | a chunk as [`Layout::to_wire`] writes it | 202 |
//! | `POST /v1/rounds/{id}/masked` | [`MaskedInput`], after the last chunk | 202 |
//! | `GET /v1/rounds/{id}/survivors?wait=S` | | [`Survivors`] |
//! | `POST /v1/rounds/{id}/consistency` | [`ConsistencySignature`] | 202 |
//! | `GET /v1/rounds/{id}/quorum?wait=S` | | [`Quorum`] |
//! | `POST /v1/rounds/{id}/reveal` | [`Reveal`] | 202 |
//! | `GET /v1/models/{sha256}` | | the model |
//!
//! Bodies are messages of the protocol's codec, `application/octet-stream`. The list of
//! announcements is a u32 (little-endian) with their number and then, for each, a u32 with its
//! length and the message ([`open::encode_list`], [`open::decode_list`]).
//!
//! A `GET` with nothing to say yet waits up to `wait` seconds (at most 30) and answers 204: ask
//! again. The same body again is taken as if it came once. Errors are JSON with `code`, `message`,
//! `hint`: 400 not a message; 403 refused, or no device of this fleet; 404 no such round; 409 the
//! step is over (`late`) or the body differs from the one sent before (`different_resend`); 410 the
//! round is aborted, `code` being its abort code.
//!
//! [`Announcement`]: sealsum_protocol::messages::Announcement
//! [`Advertise`]: sealsum_protocol::messages::Advertise
//! [`Roster`]: sealsum_protocol::messages::Roster
//! [`SharedKeys`]: sealsum_protocol::messages::SharedKeys
//! [`InboundShares`]: sealsum_protocol::messages::InboundShares
//! [`ShareAck`]: sealsum_protocol::messages::ShareAck
//! [`Sharers`]: sealsum_protocol::messages::Sharers
//! [`Layout::to_wire`]: sealsum_protocol::encoding::Layout::to_wire
//! [`MaskedInput`]: sealsum_protocol::messages::MaskedInput
//! [`Survivors`]: sealsum_protocol::messages::Survivors
//! [`ConsistencySignature`]: sealsum_protocol::messages::ConsistencySignature
//! [`Quorum`]: sealsum_protocol::messages::Quorum
//! [`Reveal`]: sealsum_protocol::messages::Reveal
