//! The evidence that each decision rests on, kept so that it can be judged again, offline.

use rusqlite::{Connection, params};
use sealsum_attest::evidence::Files;
use sealsum_attest::ids::DeviceId;

use super::{StoreError, signed};

/// What the device showed the evidence for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// An enrolment: kept for good.
    Enrolment,
    /// A renewal: only the last one of each device is kept.
    Renewal,
}

impl Occasion {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Renewal => "renewal",
        }
    }
}

pub(crate) fn insert(
    tx: &Connection,
    device: &DeviceId,
    log_index: u64,
    occasion: Occasion,
    files: &Files,
) -> Result<(), StoreError> {
    if occasion == Occasion::Renewal {
        tx.execute(
            "DELETE FROM evidence WHERE device = ?1 AND occasion = ?2",
            params![device.as_bytes(), occasion.as_str()],
        )?;
    }
    let mut statement = tx.prepare("INSERT INTO evidence VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (name, bytes) in files {
        statement.execute(params![
            device.as_bytes(),
            signed(log_index)?,
            occasion.as_str(),
            name,
            bytes
        ])?;
    }
    Ok(())
}

/// The files of the last enrolment of `device`; empty if it never enrolled.
pub(crate) fn last_enrolment(view: &Connection, device: &DeviceId) -> Result<Files, StoreError> {
    let mut statement = view.prepare(
        "SELECT file, bytes FROM evidence WHERE device = ?1 AND log_index =
             (SELECT max(log_index) FROM evidence WHERE device = ?1 AND occasion = 'enrolment')
",
    )?;
    let files = statement.query_map([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(files.collect::<Result<_, _>>()?)
}
