//! Which evidence is good enough: the operator's enrolment policy, parsed and therefore usable.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::certificate::LIFETIME_MAX_S;
use crate::endorsement::Anchors;
use crate::ids::DeviceId;
use crate::messages::{PCR_COUNT, PcrValues};
use crate::templates::EkAlgorithm;

/// The policy as the operator writes it; every key has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyData {
    /// `rsa2048`, `p256` or `p384`: the endorsement key of this fleet, so that one TPM has one
    /// identity. Devices of `allow` may use another.
    pub ek_algorithm: String,
    /// Whether software TPMs may enrol; for tests and demonstrations only.
    pub allow_software_tpm: bool,
    /// What opens the door.
    pub require: Door,
    /// Endorsement keys that may enrol by their digest.
    pub allow: BTreeSet<DeviceId>,
    /// PCRs of the SHA-256 bank to quote.
    pub pcrs: Vec<u8>,
    /// What an unknown PCR value does.
    pub pcr_mode: PcrMode,
    /// Known good values, one entry per allowed state of the machine.
    pub pcr_baselines: Vec<PcrValues>,
    /// tpmVersion values, as in endorsement certificates, that may not enrol.
    pub deny_firmware: BTreeSet<String>,
    /// Life of a device certificate in seconds; at most 24 hours.
    pub lifetime_s: u64,
}

/// What a device must have besides a genuine TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// A one-time token.
    Token,
    /// A place on the allow-list.
    AllowList,
    /// Either.
    TokenOrAllowList,
}

/// What happens if no baseline matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PcrMode {
    /// The device is admitted with a warning.
    Monitor,
    /// The device is refused.
    Enforce,
}

impl Default for PolicyData {
    fn default() -> Self {
        Self {
            ek_algorithm: EkAlgorithm::Rsa2048.name().to_owned(),
            allow_software_tpm: false,
            require: Door::Token,
            allow: BTreeSet::new(),
            pcrs: vec![7],
            pcr_mode: PcrMode::Monitor,
            pcr_baselines: Vec::new(),
            deny_firmware: BTreeSet::new(),
            lifetime_s: LIFETIME_MAX_S,
        }
    }
}

/// A policy that contradicts itself; the text names the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// Not one of the three names.
    #[error("ek_algorithm is `{0}`, not rsa2048, p256 or p384")]
    EkAlgorithm(String),
    /// No PCR, an unknown one, or one twice.
    #[error("pcrs must name one or more PCRs from 0 to 23, each once")]
    Pcrs,
    /// A baseline for other PCRs than those quoted.
    #[error("each of pcr_baselines must give exactly the PCRs of pcrs")]
    Baseline,
    /// Nothing could ever match.
    #[error("pcr_mode is enforce, but pcr_baselines is empty")]
    NothingAllowed,
    /// Nobody could ever enrol.
    #[error("require is allow-list, but allow is empty")]
    NobodyAllowed,
    /// Zero or above the cap.
    #[error("lifetime_s must be 60 to {LIFETIME_MAX_S}")]
    Lifetime,
}

/// A consistent policy with the anchors it trusts.
#[derive(Debug)]
pub struct EnrolmentPolicy {
    data: PolicyData,
    ek_algorithm: EkAlgorithm,
    anchors: Anchors,
    sha256: [u8; 32],
}

impl EnrolmentPolicy {
    /// Checks the operator's data and takes the installed anchors with it.
    ///
    /// # Errors
    /// [`PolicyError`] names the first key that is wrong.
    pub fn new(mut data: PolicyData, anchors: Anchors) -> Result<Self, PolicyError> {
        let ek_algorithm = EkAlgorithm::from_name(&data.ek_algorithm)
            .ok_or_else(|| PolicyError::EkAlgorithm(data.ek_algorithm.clone()))?;
        data.pcrs.sort_unstable();
        let unique = data.pcrs.windows(2).all(|pair| pair[0] < pair[1]);
        if data.pcrs.is_empty() || !unique || data.pcrs.iter().any(|i| *i as usize >= PCR_COUNT) {
            return Err(PolicyError::Pcrs);
        }
        if data.pcr_baselines.iter().any(|values| !values.0.keys().eq(&data.pcrs)) {
            return Err(PolicyError::Baseline);
        }
        if data.pcr_mode == PcrMode::Enforce && data.pcr_baselines.is_empty() {
            return Err(PolicyError::NothingAllowed);
        }
        if data.require == Door::AllowList && data.allow.is_empty() {
            return Err(PolicyError::NobodyAllowed);
        }
        if !(60..=LIFETIME_MAX_S).contains(&data.lifetime_s) {
            return Err(PolicyError::Lifetime);
        }
        let text = serde_json::to_vec(&data).expect("plain data with string keys serialises");
        Ok(Self { data, ek_algorithm, anchors, sha256: Sha256::digest(text).into() })
    }

    /// The data, PCRs ascending.
    pub fn data(&self) -> &PolicyData {
        &self.data
    }

    /// The endorsement key algorithm of the fleet.
    pub fn ek_algorithm(&self) -> EkAlgorithm {
        self.ek_algorithm
    }

    /// Who vouches for endorsement keys.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Identifies the data (not the anchors) in results and the log.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether the device may enrol without a token.
    pub fn allows(&self, device: &DeviceId) -> bool {
        self.data.require != Door::Token && self.data.allow.contains(device)
    }
}
