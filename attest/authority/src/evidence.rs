//! `evidence verify`: judges an evidence directory again, without a running authority.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealsum_attest::certificate::FleetCa;
use sealsum_attest::endorsement::Anchors;
use sealsum_attest::evidence::{self, FILE_MAX, Files, Report};
use sealsum_attest::refusals::EVIDENCE_FILES;
use sealsum_daemon::{Failure, codes, files};

use crate::failures::evidence_refused;
use crate::policy::certificates_at;

/// The largest file with the authority's CA certificate, bytes.
const CA_LIMIT: u64 = 64 * 1024;

/// Judges the evidence in `directory`. Trust comes from the two other paths alone.
///
/// # Errors
/// `evidence_refused` with the check; `file_not_found` or `file_format` for a path.
pub fn verify(
    directory: &Path,
    tpm_roots: &[PathBuf],
    authority_ca: &Path,
    now: Timestamp,
) -> Result<Report, Failure> {
    let anchors = read_anchors(tpm_roots)?;
    let ca = FleetCa::from_pem(&files::read_text(authority_ca, CA_LIMIT)?)
        .map_err(|error| not_usable(authority_ca, &error.to_string(), "give the fleet's ca.pem"))?;
    let files = read(directory)?;
    evidence::verify(&files, &anchors, &ca, now).map_err(evidence_refused)
}

/// Of any TPM: whether software will do, the policy decided then.
fn read_anchors(tpm_roots: &[PathBuf]) -> Result<Anchors, Failure> {
    let mut roots = Vec::new();
    for path in tpm_roots {
        roots.extend(certificates_at(path)?);
    }
    Anchors::from_der(&roots)
        .and_then(|anchors| anchors.with_software(&roots))
        .map_err(|error| bug(&error.to_string()))
}

/// The files of the directory, whatever they are called.
fn read(directory: &Path) -> Result<Files, Failure> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        let what = format!("{}: cannot be read: {error}", path.display());
        Failure::new(codes::FILE_NOT_FOUND, what, "check the path and its permissions")
    };
    let mut found = Files::new();
    for entry in fs::read_dir(directory).map_err(|error| unreadable(directory, &error))? {
        let entry = entry.map_err(|error| unreadable(directory, &error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            let why = format!("{name} is no file of evidence");
            return Err(evidence_refused(EVIDENCE_FILES.refuse(why)));
        }
        found.insert(name, files::read(&path, FILE_MAX)?);
    }
    Ok(found)
}

fn not_usable(path: &Path, why: &str, hint: &str) -> Failure {
    Failure::new(codes::FILE_FORMAT, format!("{}: {why}", path.display()), hint)
}

fn bug(why: &str) -> Failure {
    Failure::bug(format!("no anchors: {why}"))
}
