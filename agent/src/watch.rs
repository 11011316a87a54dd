//! A look at the authority's log between rounds: a fork is found also by a device that nobody asks
//! into a round.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sealsum_daemon::Failure;

use crate::monitor::pause;
use crate::service::Service;
use crate::witness;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(60);

/// Starts looking. The thread ends with the process: it may hang in a network.
pub fn start(service: &Arc<Service>) {
    let service = service.clone();
    thread::spawn(move || {
        loop {
            if service.witness.fork().is_none() {
                let looked = look(&service);
                service.health.log(&looked);
                if let Err(failure) = looked {
                    tracing::warn!(code = failure.code.name(), "{}", failure.message);
                }
            }
            if !pause(&service, PERIOD) {
                return;
            }
        }
    });
}

fn look(service: &Service) -> Result<(), Failure> {
    let authority = witness::public_authority(&service.config)?;
    service.witness.look(&witness::checkpoint(&authority)?, &witness::ask(&authority))
}
