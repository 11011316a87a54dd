//! A device's request that was not taken.

use sealsum_daemon::Failure;
use sealsum_daemon::http::Problem;

/// Why, with the HTTP status to say it with. Boxed, because refusals are rare and answers are not.
#[derive(Debug)]
pub struct Refused(Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Problem::from(failure).into()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        *refused.0
    }
}
