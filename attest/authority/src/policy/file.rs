//! The policy file: TOML, whose certificates are files or directories beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealsum_attest::certificate::chain_from_pem;
use sealsum_attest::endorsement::{AnchorError, Anchors};
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{Bytes, PcrValues};
use sealsum_attest::policy::{Door, EnrolmentPolicy, Firmware, PcrMode, PolicyData};
use sealsum_daemon::{Failure, codes, config, files};
use serde::{Deserialize, Serialize};
use x509_cert::der::Decode as _;

/// The largest policy file, bytes: 10,000 devices by name, and some.
const TEXT_LIMIT: u64 = 4 * 1024 * 1024;

/// The largest file of certificates, bytes.
const CERTIFICATES_LIMIT: u64 = 4 * 1024 * 1024;

/// The keys of the file. Each has a default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    /// Who vouches for TPMs: roots, or issuing intermediates in their place.
    tpm_roots: Vec<PathBuf>,
    /// Intermediates that devices need not send; no anchors.
    tpm_intermediates: Vec<PathBuf>,
    /// Who vouches for software TPMs; nobody else can.
    software_tpm_roots: Vec<PathBuf>,
    ek_algorithm: Option<String>,
    require: Option<Door>,
    allow: BTreeSet<DeviceId>,
    pcrs: Option<Vec<u8>>,
    pcr_mode: Option<PcrMode>,
    pcr_baselines: Vec<PcrValues>,
    deny_firmware: BTreeSet<String>,
    min_firmware: BTreeMap<String, Firmware>,
    lifetime_s: Option<u64>,
}

impl PolicyFile {
    fn settings(self) -> PolicyData {
        let default = PolicyData::default();
        PolicyData {
            ek_algorithm: self.ek_algorithm.unwrap_or(default.ek_algorithm),
            require: self.require.unwrap_or(default.require),
            allow: self.allow,
            pcrs: self.pcrs.unwrap_or(default.pcrs),
            pcr_mode: self.pcr_mode.unwrap_or(default.pcr_mode),
            pcr_baselines: self.pcr_baselines,
            deny_firmware: self.deny_firmware,
            min_firmware: self.min_firmware,
            lifetime_s: self.lifetime_s.unwrap_or(default.lifetime_s),
        }
    }
}

/// A policy file as it stands, with the certificates that it named when it was read: all that the
/// authority needs, wherever the files are later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    /// The file.
    pub text: String,
    /// DER.
    pub tpm_roots: Vec<Bytes>,
    /// DER.
    pub tpm_intermediates: Vec<Bytes>,
    /// DER.
    pub software_tpm_roots: Vec<Bytes>,
}

impl PolicySource {
    /// Reads a policy file and the certificates it names. Relative paths are relative to it.
    ///
    /// # Errors
    /// `file_not_found` or `file_format`, naming the file; `config_unknown_key` and
    /// `config_invalid`, naming the key.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::new(files::read_text(path, TEXT_LIMIT)?, path)
    }

    /// The policy of this text, as if it were the file at `path`.
    ///
    /// # Errors
    /// As [`PolicySource::read`].
    pub fn new(text: String, path: &Path) -> Result<Self, Failure> {
        let file: PolicyFile = config::parse(&text, path)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        let certificates = |paths: &[PathBuf]| certificates_of(beside, paths);
        let source = Self {
            tpm_roots: certificates(&file.tpm_roots)?,
            tpm_intermediates: certificates(&file.tpm_intermediates)?,
            software_tpm_roots: certificates(&file.software_tpm_roots)?,
            text,
        };
        source.policy(path)?;
        Ok(source)
    }

    /// The policy, checked as a whole; `origin` is what errors call it.
    ///
    /// # Errors
    /// `config_unknown_key`, `config_invalid`, `file_format`.
    pub fn policy(&self, origin: &Path) -> Result<EnrolmentPolicy, Failure> {
        let file: PolicyFile = config::parse(&self.text, origin)?;
        let invalid = |why: String| {
            Failure::new(
                codes::CONFIG_INVALID,
                format!("{}: {why}", origin.display()),
                "correct the policy; the one in force stays",
            )
        };
        let anchors = self.anchors().map_err(|error| invalid(error.to_string()))?;
        EnrolmentPolicy::new(file.settings(), anchors).map_err(|error| invalid(error.to_string()))
    }

    fn anchors(&self) -> Result<Anchors, AnchorError> {
        let der = |list: &[Bytes]| list.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
        Anchors::from_der(&der(&self.tpm_roots))?
            .with_software(&der(&self.software_tpm_roots))?
            .with_intermediates(&der(&self.tpm_intermediates))
    }
}

fn certificates_of(beside: &Path, paths: &[PathBuf]) -> Result<Vec<Bytes>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        // By components, so that no `/./` is left.
        let path: PathBuf = beside.join(path).components().collect();
        let found = certificates_at(&path)?;
        if found.is_empty() {
            return Err(no_certificate(&path));
        }
        all.extend(found.into_iter().map(Bytes));
    }
    Ok(all)
}

/// All certificates in a file (PEM or DER), or in the files of a directory.
///
/// # Errors
/// `file_not_found` or `file_format`, naming the file.
pub fn certificates_at(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    if !path.is_dir() {
        return certificates_in(path);
    }
    let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| {
            Failure::new(
                codes::FILE_NOT_FOUND,
                format!("{}: cannot be listed: {error}", path.display()),
                "check the path",
            )
        })?;
    inside.retain(|path| path.is_file());
    inside.sort();
    let mut certificates = Vec::new();
    for file in inside {
        certificates.extend(certificates_in(&file)?);
    }
    Ok(certificates)
}

/// Each must be one that can vouch, so that the error names the file and not a number.
fn certificates_in(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = files::read(path, CERTIFICATES_LIMIT)?;
    let found = if x509_cert::Certificate::from_der(&bytes).is_ok() {
        vec![bytes]
    } else {
        let text = std::str::from_utf8(&bytes).ok();
        let chain = text.and_then(|text| chain_from_pem(text).ok());
        chain.ok_or_else(|| no_certificate(path))?
    };
    Anchors::from_der(&found).map_err(|error| {
        Failure::new(
            codes::FILE_FORMAT,
            format!("{}: {error}", path.display()),
            "remove the certificate; it could not vouch for a TPM",
        )
    })?;
    Ok(found)
}

fn no_certificate(path: &Path) -> Failure {
    Failure::new(
        codes::FILE_FORMAT,
        format!("{}: holds no X.509 certificate in PEM or DER", path.display()),
        "give the TPM vendor's root certificates",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PolicyData, Failure> {
        let source = PolicySource::new(text.to_owned(), Path::new("policy.toml"))?;
        Ok(source.policy(Path::new("policy.toml"))?.data().clone())
    }

    #[test]
    fn an_empty_file_is_the_default_policy_that_trusts_nobody() {
        assert_eq!(read("").unwrap(), PolicyData::default());
        let source = PolicySource::new(String::new(), Path::new("policy.toml")).unwrap();
        assert!(source.policy(Path::new("policy.toml")).unwrap().anchors().is_empty());
    }

    #[test]
    fn every_key_is_read() {
        let (device, pcr) = ("ab".repeat(32), "01".repeat(32));
        let data = read(&format!(
            "ek_algorithm = \"p384\"\nrequire = \"allow-list\"\nallow = [\"{device}\"]\n\
             pcrs = [7]\npcr_mode = \"enforce\"\ndeny_firmware = [\"id:1\"]\nlifetime_s = 600\n\
             [min_firmware]\n\"id:53544d20\" = \"0001000200030004\"\n\
             [[pcr_baselines]]\n7 = \"{pcr}\"\n"
        ))
        .unwrap();
        let expected = PolicyData {
            ek_algorithm: "p384".into(),
            require: Door::AllowList,
            allow: [device.parse().unwrap()].into(),
            pcrs: vec![7],
            pcr_mode: PcrMode::Enforce,
            pcr_baselines: vec![PcrValues([(7, [1; 32])].into())],
            deny_firmware: ["id:1".to_owned()].into(),
            min_firmware: [("id:53544D20".to_owned(), Firmware(0x0001_0002_0003_0004))].into(),
            lifetime_s: 600,
        };
        assert_eq!(data, expected);
    }

    #[test]
    fn a_wrong_file_is_refused_by_key_or_file() {
        let failure = read("lifetime = 60\n").unwrap_err();
        assert_eq!(failure.code, codes::CONFIG_UNKNOWN_KEY);
        let failure = read("\ntpm_root = []\n").unwrap_err();
        assert_eq!(failure.code, codes::CONFIG_UNKNOWN_KEY);
        assert!(failure.message.contains("line 2"), "{failure}");
        assert!(failure.message.contains("did you mean `tpm_roots`?"), "{failure}");
        for (text, named) in [
            ("lifetime_s = 86401", "lifetime_s"),
            ("pcrs = []", "pcrs"),
            ("pcr_mode = \"enforce\"", "pcr_baselines"),
            ("require = \"allow-list\"", "allow"),
            ("[min_firmware]\nSTM = \"0000000000000001\"", "min_firmware"),
            ("[min_firmware]\n\"id:53544D20\" = \"1.2\"", "16 hex digits"),
            ("[[pcr_baselines]]\n7 = \"00\"", "64 lower-case"),
            ("allow = [\"00\"]", "line 1"),
        ] {
            let failure = read(text).unwrap_err();
            assert_eq!(failure.code, codes::CONFIG_INVALID, "{text}");
            assert!(failure.message.contains(named), "{text}: {failure}");
        }
        let failure = read("tpm_roots = [\"nowhere.pem\"]").unwrap_err();
        assert_eq!(failure.code, codes::FILE_NOT_FOUND);
        assert!(failure.message.contains("nowhere.pem"), "{failure}");
    }

    #[test]
    fn certificates_that_cannot_vouch_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.toml");
        std::fs::create_dir(directory.path().join("empty")).unwrap();
        std::fs::write(directory.path().join("junk.pem"), "junk").unwrap();
        for name in ["empty", "junk.pem"] {
            let text = format!("software_tpm_roots = [\"{name}\"]");
            let failure = PolicySource::new(text, &policy).unwrap_err();
            assert_eq!(failure.code, codes::FILE_FORMAT, "{name}");
            assert!(failure.message.contains(name), "{failure}");
        }
    }
}
