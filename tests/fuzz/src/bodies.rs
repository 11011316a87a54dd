//! JSON bodies of enrolment and renewal. JSON has many spellings of one value, so here what is
//! read must be written in one spelling, and that must be read as the same value.

use sealsum_attest::messages::{
    AggregatorEnrolRequest, AggregatorGrant, AggregatorRenewRequest, BODY_MAX, EnrolAnswer,
    EnrolChallenge, EnrolGrant, EnrolRequest, ErrorBody, Info, RenewChallenge, RenewRequest,
    RotateChallenge,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Target, named};

/// One for each body.
pub const TARGETS: &[Target] = &[
    named("enrol-request", body::<EnrolRequest>),
    named("enrol-challenge", body::<EnrolChallenge>),
    named("enrol-answer", body::<EnrolAnswer>),
    named("enrol-grant", body::<EnrolGrant>),
    named("renew-request", body::<RenewRequest>),
    named("renew-challenge", body::<RenewChallenge>),
    named("rotate-challenge", body::<RotateChallenge>),
    named("aggregator-enrol-request", body::<AggregatorEnrolRequest>),
    named("aggregator-renew-request", body::<AggregatorRenewRequest>),
    named("aggregator-grant", body::<AggregatorGrant>),
    named("info", body::<Info>),
    named("error-body", body::<ErrorBody>),
];

/// Longer bodies are refused before they are parsed.
fn body<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) {
    if bytes.len() <= BODY_MAX {
        respelt::<T>(bytes);
    }
}

/// What these bytes say, in its one spelling.
pub(crate) fn respelt<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let spelt = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&spelt).expect("what was written can be read");
    assert!(again == value, "written as another value");
    assert_eq!(serde_json::to_vec(&again).unwrap(), spelt, "a second spelling");
    Some(value)
}
