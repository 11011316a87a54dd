//! The boot states that devices showed, and those that wait for an operator's approval.
//!
//! A state is approved by writing it into the policy file and applying that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use sealsum_attest::hex;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::PcrValues;
use sealsum_attest::pcr;
use sealsum_attest::policy::{PcrMode, PolicyData};
use sealsum_attest::refusals::{PCR_POLICY, Refusal};
use sealsum_daemon::Failure;
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::store::{DeviceRow, PendingRow, StoreError, baselines as rows, devices};

/// `policy baselines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baselines {
    /// What an unknown state does.
    pub pcr_mode: PcrMode,
    /// Every state that a device showed last.
    pub states: Vec<BootState>,
}

/// PCR values that devices quoted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootState {
    /// The values.
    pub pcrs: PcrValues,
    /// Whether the policy in force has them as a baseline.
    pub known: bool,
    /// Whether they can be one: of the PCRs that the policy asks for, and with PCR 7 measured.
    pub approvable: bool,
    /// Members whose last accepted quote has them.
    pub devices: Vec<DeviceId>,
    /// Devices that were refused for them.
    pub waiting: Vec<Awaiting>,
}

/// A device that awaits approval of its boot state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// Which.
    pub device: DeviceId,
    /// The values it quoted.
    pub pcrs: PcrValues,
    /// The first quote of them.
    pub since: Timestamp,
    /// The last one.
    pub last_at: Timestamp,
    /// How many there were.
    pub refusals: u64,
}

impl TryFrom<PendingRow> for Awaiting {
    type Error = StoreError;

    fn try_from(row: PendingRow) -> Result<Self, StoreError> {
        let time = |second| {
            Timestamp::from_second(second).map_err(|_| StoreError::Corrupt("time of a refusal"))
        };
        Ok(Self {
            device: row.device,
            pcrs: row.pcrs,
            since: time(row.since)?,
            last_at: time(row.last_at)?,
            refusals: row.refusals,
        })
    }
}

/// Every boot state, those that wait first.
///
/// # Errors
/// A [`Failure`] from the registry.
pub fn baselines(authority: &Authority) -> Result<Baselines, Failure> {
    let policy = authority.policy();
    let (members, waiting) = authority
        .store
        .read(|view| Ok::<_, StoreError>((devices::all(view)?, rows::all(view)?)))?;
    let mut states = States { settings: policy.data(), by_values: BTreeMap::new() };
    for row in members.iter().filter(|row| row.revoked.is_none()) {
        states.of(&quoted(row)?).devices.push(row.device);
    }
    for row in waiting {
        states.of(&row.pcrs.clone()).waiting.push(row.try_into()?);
    }
    let mut states: Vec<BootState> = states.by_values.into_values().collect();
    states.sort_by_key(|state| (state.known, state.waiting.is_empty()));
    Ok(Baselines { pcr_mode: policy.data().pcr_mode, states })
}

struct States<'a> {
    settings: &'a PolicyData,
    by_values: BTreeMap<BTreeMap<u8, [u8; 32]>, BootState>,
}

impl States<'_> {
    fn of(&mut self, pcrs: &PcrValues) -> &mut BootState {
        let of_the_policy = pcrs.0.keys().eq(&self.settings.pcrs);
        self.by_values.entry(pcrs.0.clone()).or_insert_with(|| BootState {
            known: self.settings.pcr_baselines.contains(pcrs),
            approvable: of_the_policy && pcr::is_measured(pcrs),
            pcrs: pcrs.clone(),
            devices: Vec::new(),
            waiting: Vec::new(),
        })
    }
}

fn quoted(row: &DeviceRow) -> Result<PcrValues, StoreError> {
    let values = row
        .record
        .attestation
        .pcrs
        .iter()
        .map(|(index, value)| Some((index.parse().ok()?, hex::decode(value)?)));
    values.collect::<Option<_>>().map(PcrValues).ok_or(StoreError::Corrupt("PCR values"))
}

/// Remembers the state of a device that was refused for nothing else.
pub(crate) fn note_refusal(
    authority: &Authority,
    device: &DeviceId,
    pcrs: &PcrValues,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<(), StoreError> {
    if refusal.check != PCR_POLICY || !pcr::is_measured(pcrs) {
        return Ok(());
    }
    tracing::warn!(%device, "a boot state awaits approval: sealsum-authority policy baselines");
    authority.store.write("note_baseline", |tx| rows::note(tx, device, pcrs, now.as_second()))
}

/// The lines of the policy file that approve these values.
#[must_use]
pub fn toml_of(pcrs: &PcrValues) -> String {
    let mut lines = String::from("[[pcr_baselines]]\n");
    for (index, value) in &pcrs.0 {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{index} = \"{}\"", hex::encode(value));
    }
    lines
}
