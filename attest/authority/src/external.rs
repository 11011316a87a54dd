//! `init --vault`: the CA of the company, confirmed by the operator.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use sealsum_authority::ca::check;
use sealsum_authority::ca::vault::{self, VaultConfig};
use sealsum_authority::setup::{Signer, ca_fingerprint};
use sealsum_daemon::{Failure, codes, config, time};

/// Who signs the new fleet's certificates. With Vault, what devices will pin is fetched from there
/// and must be confirmed, by its fingerprint or by a person.
pub(crate) fn signer(vault: Option<&Path>, ca_sha256: Option<&str>) -> Result<Signer, Failure> {
    let Some(path) = vault else { return Ok(Signer::BuiltIn) };
    let mut vault: VaultConfig = config::load_file(path)?;
    vault.check().map_err(|(key, why)| {
        config::invalid(path, key, why, "see \"The company's own PKI\" in docs/operating.md")
    })?;
    let base = std::path::absolute(path.parent().unwrap_or(Path::new("")));
    vault.resolve(&base.map_err(|error| Failure::bug(format!("working directory: {error}")))?);
    let certificate = check::issuing_ca(&vault::issuing_ca(&vault)?, time::now())
        .map_err(|why| unusable(&vault, &why))?;
    confirm(&ca_fingerprint(&certificate), ca_sha256, &vault)?;
    Ok(Signer::Vault(Box::new(vault), certificate))
}

fn unusable(vault: &VaultConfig, why: &str) -> Failure {
    Failure::new(
        codes::CONFIG_INVALID,
        format!("Vault's CA certificate at {}/ca/pem: {why}", vault.mount),
        "a mount whose issuer has a P-256 or P-384 key",
    )
}

fn confirm(found: &str, expected: Option<&str>, vault: &VaultConfig) -> Result<(), Failure> {
    let confirmed = match expected {
        Some(expected) => expected.to_ascii_lowercase().replace(':', "") == found,
        None => ask(found, vault)?,
    };
    if confirmed {
        return Ok(());
    }
    Err(Failure::new(
        codes::REFUSED,
        format!("Vault's CA certificate has the SHA-256 {found}, which was not confirmed"),
        "compare it with what the owner of the PKI says; --ca-sha256 HEX confirms it",
    ))
}

/// A person at a terminal, or nobody.
fn ask(found: &str, vault: &VaultConfig) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let broken = |error| Failure::bug(format!("terminal: {error}"));
    let mut screen = std::io::stderr();
    write!(
        screen,
        "The CA at {} {} has the SHA-256\n  {found}\nEvery device of the fleet will trust it. \
         Is it the right one? [y/N] ",
        vault.url, vault.mount
    )
    .map_err(broken)?;
    screen.flush().map_err(broken)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(broken)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
