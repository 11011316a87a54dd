//! Results as people read them.

use std::fmt::Write as _;

use sealsum_attest::evidence::Report;
use sealsum_attest::result;
use sealsum_authority::admin::Status;
use sealsum_authority::devices::{DeviceList, DeviceView, State};
use sealsum_authority::policy::toml_of;

/// `status`.
pub(crate) fn status(status: &Status) -> String {
    format!(
        "version  {}\nlisten   {}\nready    {}\ndevices  {} active, {} revoked, {} cloned{}\nlog      {} entries, {}",
        status.version,
        status.listen,
        if status.ready { "yes" } else { "no" },
        status.devices.active,
        status.devices.revoked,
        status.devices.cloned,
        if status.devices.cloned > 0 { " (ALARM)" } else { "" },
        status.log.size,
        status.log.root,
    )
}

/// `device list`, a line each.
pub(crate) fn list(list: &DeviceList) -> String {
    let mut text = String::new();
    for device in &list.devices {
        let until = device.not_after.map_or("-".to_owned(), |time| time.to_string());
        let name = device.name.as_deref().unwrap_or("-");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}  {:8} {until:20} {name}", device.device, state(device.state));
    }
    if text.is_empty() { "no device has enrolled".to_owned() } else { text }
}

/// `device show`.
pub(crate) fn device(view: &DeviceView) -> String {
    let ek = &view.ek;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:12} {value}");
    };
    line("device", view.device.to_string());
    line("name", view.name.clone().unwrap_or_else(|| "-".into()));
    line("state", state(view.state).into());
    if let Some(revoked) = &view.revoked {
        line("revoked", format!("{} ({})", revoked.at, revoked.reason));
    }
    line("enrolled", format!("{} (epoch {})", view.enrolled_at, view.epoch));
    if let Some(certificate) = &view.certificate {
        line("certificate", format!("{} until {}", certificate.serial, certificate.not_after));
        line("uri", certificate.uri.clone());
    }
    let kind = if ek.software { ", software" } else { "" };
    line("TPM", format!("{}{kind}, vouched for by {}", ek.algorithm, ek.anchor));
    line("firmware", view.attestation.firmware.to_string());
    line("attestation", format!("{} at {}", view.attestation.status, view.attestation.at));
    line("log index", view.log_index.to_string());
    if let Some(pending) = &view.pending {
        let (since, refusals) = (pending.since, pending.refusals);
        line("pending", format!("a boot state since {since}, refused {refusals} times:"));
        text.push_str(&toml_of(&pending.pcrs));
    }
    text
}

fn state(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Pending => "pending",
        State::Expired => "expired",
        State::Revoked => "revoked",
    }
}

/// `evidence verify`.
pub(crate) fn report(report: &Report) -> String {
    let status = match report.status {
        result::Status::Affirming => "affirming",
        result::Status::Warning => "warning",
    };
    let or_unknown = |text: &Option<String>| text.as_deref().unwrap_or("unknown").to_owned();
    format!(
        "device      {}\nfleet       {}, epoch {}\njudged      {} ({status}, good until {})\n\
         TPM         {}, firmware {}{}\nvouched by  {}\ntranscript  {}",
        report.device,
        report.fleet,
        report.epoch,
        report.judged_at,
        report.expires_at,
        or_unknown(&report.manufacturer),
        or_unknown(&report.firmware),
        if report.software { ", software" } else { "" },
        report.anchor,
        report.transcript,
    )
}
