//! Which evidence is good enough: the operator's enrolment policy, parsed and therefore usable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::certificate::LIFETIME_MAX_S;
use crate::endorsement::Anchors;
use crate::hex;
use crate::ids::DeviceId;
use crate::messages::{PCR_COUNT, PcrValues};
use crate::pcr;
use crate::templates::EkAlgorithm;

/// The settings of a policy; every key has a default. Whom it trusts is in its [`Anchors`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyData {
    /// `rsa2048`, `p256` or `p384`: the endorsement key of this fleet, so that one TPM has one
    /// identity. Devices of `allow` may use another.
    pub ek_algorithm: String,
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
    /// tpmVersion values, as in endorsement certificates, that may not enrol: what made the key.
    pub deny_firmware: BTreeSet<String>,
    /// Lowest firmware that a TPM may run, by manufacturer as in endorsement certificates (`id:`
    /// and eight hex digits). Makers that are not listed may run any.
    pub min_firmware: BTreeMap<String, Firmware>,
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

/// A firmware version as a TPM quotes it (TPMS_ATTEST.firmwareVersion: TPM_PT_FIRMWARE_VERSION_1,
/// then _2), written as 16 hex digits. What the parts of it mean, each maker decides; newer is
/// larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Firmware(pub u64);

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        hex::decode(text).map(u64::from_be_bytes).map(Self).ok_or_else(|| {
            format!("firmware `{text}` is not 16 hex digits in lower case, as device show has them")
        })
    }
}

impl TryFrom<String> for Firmware {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Firmware> for String {
    fn from(firmware: Firmware) -> Self {
        firmware.to_string()
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
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
            require: Door::Token,
            allow: BTreeSet::new(),
            pcrs: vec![7],
            pcr_mode: PcrMode::Monitor,
            pcr_baselines: Vec::new(),
            deny_firmware: BTreeSet::new(),
            min_firmware: BTreeMap::new(),
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
    /// A baseline that no quote can ever match.
    #[error("one of pcr_baselines has a PCR 7 of zero, which no quote may have")]
    Unmeasured,
    /// Nothing could ever match.
    #[error("pcr_mode is enforce, but pcr_baselines is empty")]
    NothingAllowed,
    /// Nobody could ever enrol.
    #[error("require is allow-list, but allow is empty")]
    NobodyAllowed,
    /// Not as endorsement certificates name makers.
    #[error("min_firmware names `{0}`, not a maker as id: and eight hex digits")]
    Manufacturer(String),
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
    /// Checks the operator's settings and takes the installed anchors with them.
    ///
    /// # Errors
    /// [`PolicyError`] names the first key that is wrong.
    pub fn new(mut data: PolicyData, anchors: Anchors) -> Result<Self, PolicyError> {
        let ek_algorithm = EkAlgorithm::from_name(&data.ek_algorithm)
            .ok_or_else(|| PolicyError::EkAlgorithm(data.ek_algorithm.clone()))?;
        data.pcrs.sort_unstable();
        data.pcr_baselines.sort_by(|a, b| a.0.cmp(&b.0));
        data.pcr_baselines.dedup();
        check_pcrs(&data)?;
        if data.require == Door::AllowList && data.allow.is_empty() {
            return Err(PolicyError::NobodyAllowed);
        }
        if !(60..=LIFETIME_MAX_S).contains(&data.lifetime_s) {
            return Err(PolicyError::Lifetime);
        }
        data.min_firmware =
            data.min_firmware.into_iter().map(with_canonical_maker).collect::<Result<_, _>>()?;
        let sha256 = fingerprint(&data, &anchors);
        Ok(Self { data, ek_algorithm, anchors, sha256 })
    }

    /// The settings; PCRs and baselines ascending, makers in upper case.
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

    /// Identifies the policy in results and the log: SHA-256 over one JSON object, keys sorted and
    /// without spaces, with the settings as `settings` and the SHA-256 of each certificate, hex and
    /// ascending, as `tpm_roots`, `tpm_intermediates` and `software_tpm_roots`. How the file that
    /// it came from was written does not matter.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The lowest firmware that a TPM of this maker may run, by tpmManufacturer.
    pub fn min_firmware(&self, maker: &str) -> Option<Firmware> {
        self.data.min_firmware.get(&canonical_maker(maker)?).copied()
    }

    /// Whether the device may enrol without a token.
    pub fn allows(&self, device: &DeviceId) -> bool {
        self.data.require != Door::Token && self.data.allow.contains(device)
    }
}

fn check_pcrs(data: &PolicyData) -> Result<(), PolicyError> {
    let unique = data.pcrs.windows(2).all(|pair| pair[0] < pair[1]);
    if data.pcrs.is_empty() || !unique || data.pcrs.iter().any(|i| *i as usize >= PCR_COUNT) {
        return Err(PolicyError::Pcrs);
    }
    if data.pcr_baselines.iter().any(|values| !values.0.keys().eq(&data.pcrs)) {
        return Err(PolicyError::Baseline);
    }
    if data.pcr_baselines.iter().any(|values| !pcr::is_measured(values)) {
        return Err(PolicyError::Unmeasured);
    }
    if data.pcr_mode == PcrMode::Enforce && data.pcr_baselines.is_empty() {
        return Err(PolicyError::NothingAllowed);
    }
    Ok(())
}

fn with_canonical_maker(
    (maker, firmware): (String, Firmware),
) -> Result<(String, Firmware), PolicyError> {
    match canonical_maker(&maker) {
        Some(canonical) => Ok((canonical, firmware)),
        None => Err(PolicyError::Manufacturer(maker)),
    }
}

/// Makers' certificates write the eight hex digits of a maker in either case.
fn canonical_maker(maker: &str) -> Option<String> {
    let digits = maker.strip_prefix("id:")?;
    let good = digits.len() == 8 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    good.then(|| format!("id:{}", digits.to_ascii_uppercase()))
}

fn fingerprint(data: &PolicyData, anchors: &Anchors) -> [u8; 32] {
    // A serde_json map is sorted by key.
    let policy = json!({
        "settings": data,
        "tpm_roots": anchors.roots().fingerprints(),
        "tpm_intermediates": anchors.intermediates().fingerprints(),
        "software_tpm_roots": anchors.software_roots().fingerprints(),
    });
    Sha256::digest(policy.to_string()).into()
}
