//! `init`: the first certificate, and the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealsum_attest::certificate::FleetCa;
use sealsum_attest::ids::{Fleet, Name};
use sealsum_daemon::cli::Shown;
use sealsum_daemon::{Failure, codes, config as daemon_config, files};
use serde::Serialize;

use crate::authority::AuthorityClient;
use crate::certificate;
use crate::config::{Authority, Config, default_name};
use crate::own_log;

/// What `init` is given.
#[derive(Debug)]
pub struct Request {
    /// `https://HOST:PORT`.
    pub authority: String,
    /// The fleet's CA certificate.
    pub authority_ca: PathBuf,
    /// Where the enrolment token is.
    pub token_source: String,
    /// The name in the certificate.
    pub name: Option<Name>,
    /// Where devices will connect.
    pub listen: Option<SocketAddr>,
    /// Where health and metrics are served.
    pub health: Option<SocketAddr>,
    /// DNS names that devices reach it by.
    pub dns_names: Vec<String>,
    /// Addresses that devices reach it by.
    pub addresses: Vec<IpAddr>,
}

/// `init`.
#[derive(Debug, Serialize)]
pub struct Initialised {
    /// The fleet that the certificate is of.
    pub fleet: Fleet,
    /// The name in it.
    pub name: Name,
    /// The configuration written.
    pub config: PathBuf,
    /// When the certificate is renewed, by `run`.
    pub renew_at: Timestamp,
    /// The verifier key of this aggregator's log, as in `log.vkey`.
    pub log_key: String,
}

/// Gets a certificate for the token and writes the configuration. With `dir`, everything goes
/// inside it; otherwise the configuration goes to `path` and the state to its packaged place.
///
/// A directory without a good certificate (the authority refused, or the last one is over) is
/// initialised again; its configuration, tasks and rounds stay.
///
/// # Errors
/// `file_exists` where there is a good certificate already; when the authority cannot be reached
/// or refuses; when a file cannot be written.
pub fn init(
    path: &Path,
    dir: Option<&Path>,
    request: &Request,
) -> Result<Shown<Initialised>, Failure> {
    let token = files::read_secret(&request.token_source)?;
    if path.exists() {
        check_existing(path, request)?;
    } else {
        configure(path, dir, request)?;
    }
    enrol(path, &token)
}

fn check_existing(path: &Path, request: &Request) -> Result<(), Failure> {
    let config = Config::load(path)?;
    if certificate::open(&config).is_ok() {
        return Err(Failure::new(
            codes::FILE_EXISTS,
            format!("{}: this aggregator has a good certificate", path.display()),
            "sealsum-aggregator run, or another --dir",
        ));
    }
    if config.authority.url != request.authority {
        let why = format!("is {}, not {}", config.authority.url, request.authority);
        let hint = "change it there, or another --dir";
        return Err(daemon_config::invalid(path, "authority.url", &why, hint));
    }
    Ok(())
}

fn configure(path: &Path, dir: Option<&Path>, request: &Request) -> Result<(), Failure> {
    let ca = files::read_text(&request.authority_ca, CA_LIMIT)?;
    FleetCa::from_pem(&ca).map_err(|error| {
        let message = format!("{}: {error}", request.authority_ca.display());
        Failure::new(codes::FILE_FORMAT, message, "the ca.pem of the authority")
    })?;
    let config = configuration(request, dir);
    let text = toml::to_string(&config)
        .map_err(|error| Failure::bug(format!("configuration: cannot be written: {error}")))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    files::create_private_dir(beside)?;
    files::create_private_dir(&beside.join(&config.state_dir))?;
    files::write_public(&beside.join(CA_FILE), ca.as_bytes())?;
    files::create(path, text.as_bytes(), files::PUBLIC)
}

fn enrol(path: &Path, token: &str) -> Result<Shown<Initialised>, Failure> {
    let config = Config::load(path)?;
    let client = AuthorityClient::anonymous(&config)?;
    let grant = certificate::enrol(&config, &client, token)?;
    let log = own_log::key(&config, &grant.fleet)?;
    let text = format!(
        "aggregator {} of fleet {}\nconfiguration {}\nlog key {}\nTry: sealsum-aggregator run",
        grant.name,
        grant.fleet,
        path.display(),
        own_log::public_file(&config).display()
    );
    let answer = Initialised {
        fleet: grant.fleet,
        name: grant.name,
        config: path.to_owned(),
        renew_at: grant.renew_at,
        log_key: log.verifier().to_string(),
    };
    Ok(Shown::new(answer, text))
}

fn configuration(request: &Request, dir: Option<&Path>) -> Config {
    let authority = Authority { url: request.authority.clone(), ca: PathBuf::from(CA_FILE) };
    let state_dir = if dir.is_some() { "." } else { PACKAGED_STATE };
    let mut config = Config::new(authority, PathBuf::from(state_dir));
    config.name = request.name.clone().unwrap_or_else(default_name);
    config.listen = request.listen.unwrap_or(config.listen);
    config.health.listen = request.health.unwrap_or(config.health.listen);
    if !request.dns_names.is_empty() {
        config.dns_names = request.dns_names.clone();
    }
    if !request.addresses.is_empty() {
        config.addresses = request.addresses.clone();
    }
    config
}

/// State of a packaged installation.
const PACKAGED_STATE: &str = "/var/lib/sealsum-aggregator";
const CA_FILE: &str = "ca.pem";
/// Longest CA file, in bytes.
const CA_LIMIT: u64 = 64 * 1024;
