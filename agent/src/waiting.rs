//! The time before the service: an agent that starts without usable keys enrols again by itself,
//! and meanwhile its socket says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Router};
use sealsum_attest_tpm::Tpm;
use sealsum_daemon::http::{self, Caller, Json, Limits, Problem, UnixSocket};
use sealsum_daemon::shutdown::Shutdown;
use sealsum_daemon::{Failure, codes};

use crate::access::{Access, Peer};
use crate::config::Config;
use crate::device::{Stored, not_enrolled, tpm_failure};
use crate::recovery::{self, Pace};
use crate::state::StateDir;
use crate::status::Status;
use crate::witness::Witness;

const TICK: Duration = Duration::from_millis(250);

/// What the socket shows meanwhile.
struct Room {
    config: Config,
    access: Access,
    stored: Stored,
    lost: Failure,
    last: Mutex<Option<Failure>>,
}

/// Enrols again, because of `lost`, until that works or the agent is told to stop.
///
/// # Errors
/// `identity_lost`, `file_write`, and those of the socket.
pub async fn until_enrolled(
    config: &Config,
    state: &StateDir,
    lost: Failure,
    socket_mode: u32,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    tracing::warn!(code = lost.code.name(), "{}; enrolling again", lost.message);
    let stored = Stored::read(state)?.ok_or_else(not_enrolled)?;
    let access = Access::new(&config.local.allow)?;
    let last = Mutex::new(None);
    let room = Arc::new(Room { config: config.clone(), access, stored, lost, last });
    let done = Shutdown::new();
    let socket = UnixSocket::bind(&config.socket, socket_mode)?;
    let served = http::serve_unix(socket, router(room.clone()), Limits::default(), done.clone());
    let (state, stop) = (state.clone(), shutdown.clone());
    let recovered = tokio::task::spawn_blocking(move || recover(&room, &state, &stop));
    let both = async {
        let recovered = tokio::select! {
            recovered = recovered => recovered.unwrap_or_else(|error| {
                Err(Failure::bug(format!("recovery: {error}")))
            }),
            () = shutdown.wait() => Ok(()),
        };
        done.trigger();
        recovered
    };
    tokio::join!(both, served).0
}

fn recover(room: &Room, state: &StateDir, shutdown: &Shutdown) -> Result<(), Failure> {
    let tpm = Tpm::new(room.config.tpm.parse().map_err(|error| tpm_failure(&error))?);
    let witness = Witness::open(state)?;
    let mut pace = Pace::default();
    while !shutdown.is_triggered() {
        if !pace.is_due() {
            thread::sleep(TICK);
            continue;
        }
        let enrolled = recovery::enrol_again(&room.config, &tpm, &room.stored, &witness);
        match enrolled {
            Ok((_, _, stored)) => return stored.write(state),
            Err(failure) if failure.code == codes::IDENTITY_LOST => return Err(failure),
            Err(failure) => {
                tracing::warn!(code = failure.code.name(), "{}", failure.message);
                pace.note(Some(&failure));
                *room.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            }
        }
    }
    Ok(())
}

fn router(room: Arc<Room>) -> Router {
    Router::new().route("/v1/status", get(status)).fallback(not_yet).with_state(room)
}

async fn status(
    State(room): State<Arc<Room>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Status>, Problem> {
    room.access.check(Peer { uid: caller.uid, gid: caller.gid })?;
    let last = room.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Json(Status::recovering(&room.config, &room.stored, &room.lost, last.as_ref())))
}

async fn not_yet(State(room): State<Arc<Room>>) -> Problem {
    Problem::from(room.lost.clone())
}
