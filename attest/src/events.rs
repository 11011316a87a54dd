//! What the logs of the authority and of the aggregators say: one entry for each thing that
//! happened.
//!
//! An entry is canonical JSON: one flat object, keys sorted, no spaces, no fractions. Besides the
//! keys of the [`Event`] it has `v` (1), `seq` (its index in the log), `ts` (Unix seconds) and
//! `type`. Its leaf in the tree of [`crate::tlog`] is the RFC 6962 hash of exactly these bytes, so
//! whoever holds a certificate rebuilds its entry with [`certificate_issued`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::certificate::{CertificateError, Identity, RoleKind};
use crate::hex;
use crate::ids::{Fleet, Name};

/// Version of the entries.
const VERSION: u64 = 1;

/// Name of the authority's log: its C2SP origin and key name.
pub fn authority_log(fleet: &Fleet) -> String {
    format!("{fleet}/authority-log")
}

/// Name of an aggregator's log: its C2SP origin and key name.
pub fn aggregator_log(fleet: &Fleet, name: &Name) -> String {
    format!("{fleet}/aggregator-log/{name}")
}

/// What happened. Hashes instead of personal data; byte strings in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The fleet was set up.
    #[serde(rename = "authority.created")]
    AuthorityCreated {
        /// Its name.
        fleet: String,
        /// SHA-256 of the CA certificate.
        ca_sha256: String,
    },
    /// Evidence is judged by another policy from here on.
    #[serde(rename = "policy.changed")]
    PolicyChanged {
        /// SHA-256 of the policy before; none for the first.
        old_sha256: Option<String>,
        /// SHA-256 of the policy from here on, the certificates that it trusts included.
        new_sha256: String,
        /// Unix user id of the operator; none if the authority found it so when it started.
        actor: Option<u32>,
    },
    /// An operator made a token.
    #[serde(rename = "token.created")]
    TokenCreated {
        /// SHA-256 of the token.
        token_sha256: String,
        /// What it is good for.
        role: RoleKind,
        /// How many enrolments it lets through.
        uses: u32,
        /// Unix seconds.
        expires_at: i64,
        /// The endorsement key it is bound to.
        ek_sha256: Option<String>,
        /// Unix user id of the operator.
        actor: u32,
    },
    /// A device's evidence was accepted.
    #[serde(rename = "device.enrolled")]
    DeviceEnrolled {
        /// Its id.
        device: String,
        /// Counts its enrolments.
        epoch: u64,
        /// SHA-256 of its EK certificate.
        ek_certificate_sha256: String,
        /// Name of the attestation key.
        ak_name: String,
        /// Name of the device key.
        dk_name: String,
        /// X25519 public key.
        x25519: String,
        /// The enrolment transcript T.
        transcript: String,
        /// SHA-256 of the policy that judged.
        policy_sha256: String,
        /// SHA-256 of the signed attestation result.
        result_sha256: String,
        /// SHA-256 of the token that opened the door; none on the allow-list.
        token_sha256: Option<String>,
    },
    /// A device showed a fresh quote and got a new certificate.
    #[serde(rename = "device.renewed")]
    DeviceRenewed {
        /// Its id.
        device: String,
        /// Of the enrolment that it renews.
        epoch: u64,
        /// SHA-256 of the policy that judged.
        policy_sha256: String,
        /// SHA-256 of the signed attestation result.
        result_sha256: String,
    },
    /// A device on record came back with new keys under the same endorsement key; its older
    /// certificates end here.
    #[serde(rename = "device.reenrolled")]
    DeviceReenrolled {
        /// Its id.
        device: String,
        /// The enrolment that begins.
        epoch: u64,
        /// What is new, of `ak`, `dk`, `srk` and `x25519`, with a comma between; a new `srk`
        /// shows that the TPM was cleared.
        rotated: String,
        /// `endorsement_key` if being on record opened the door, else `token` or `allow_list`.
        admitted_by: String,
    },
    /// A device replaced keys at a renewal; its older certificates end at `older_until`.
    #[serde(rename = "device.rotated")]
    DeviceRotated {
        /// Its id.
        device: String,
        /// The epoch that begins.
        epoch: u64,
        /// Name of the new device key.
        dk_name: String,
        /// The new X25519 public key.
        x25519: String,
        /// Unix seconds.
        older_until: i64,
        /// SHA-256 of the policy that judged.
        policy_sha256: String,
        /// SHA-256 of the signed attestation result.
        result_sha256: String,
    },
    /// Two machines act as one device: its TPM's state was copied. Both are shut out.
    #[serde(rename = "device.cloned")]
    DeviceCloned {
        /// Its id.
        device: String,
        /// Of the enrolment in which it was found.
        epoch: u64,
        /// What gave it away, as a stable word.
        found: String,
    },
    /// The CA signed a certificate.
    #[serde(rename = "certificate.issued")]
    CertificateIssued {
        /// Serial number.
        serial: String,
        /// Whom it speaks for.
        role: RoleKind,
        /// Device id or server name.
        subject: String,
        /// SHA-256 of the certificate.
        certificate_sha256: String,
        /// SHA-256 of its SubjectPublicKeyInfo.
        spki_sha256: String,
        /// Unix seconds.
        not_after: i64,
    },
    /// A certificate ended before its time because a newer one of the same subject replaced it.
    #[serde(rename = "certificate.revoked")]
    CertificateRevoked {
        /// Serial number.
        serial: String,
        /// Device id or server name.
        subject: String,
    },
    /// An operator shut a device out.
    #[serde(rename = "device.revoked")]
    DeviceRevoked {
        /// Its id.
        device: String,
        /// As given.
        reason: String,
        /// Unix user id of the operator.
        actor: u32,
    },
    /// An aggregator opened a round.
    #[serde(rename = "round.opened")]
    RoundOpened {
        /// Its id.
        round: String,
        /// Hash of the signed task.
        task_sha256: String,
        /// Counts the rounds of the task, from 1.
        number: u64,
    },
    /// The roster of a round was fixed.
    #[serde(rename = "round.roster")]
    RoundRoster {
        /// Its id.
        round: String,
        /// Root hash of the roster, as the devices sign it.
        roster_root: String,
        /// Number of devices.
        devices: u64,
    },
    /// A round has a result.
    #[serde(rename = "round.finished")]
    RoundFinished {
        /// Its id.
        round: String,
        /// Hash of the set of survivors that the devices signed.
        survivors_sha256: String,
        /// Number of devices in the sum.
        contributors: u64,
        /// SHA-256 of the result file.
        result_sha256: String,
        /// Epsilon of this round, in decimal; none without differential privacy.
        epsilon: Option<String>,
    },
    /// A round ended without a result.
    #[serde(rename = "round.aborted")]
    RoundAborted {
        /// Its id.
        round: String,
        /// Why, as a stable code.
        code: String,
    },
}

impl Event {
    /// That the CA signed this certificate.
    ///
    /// # Errors
    /// [`CertificateError`] if it is not of a fleet's profile.
    pub fn certificate_issued(der: &[u8]) -> Result<Self, CertificateError> {
        let identity = Identity::parse(der)?;
        Ok(Self::CertificateIssued {
            serial: hex::encode(&identity.serial),
            role: identity.role.kind(),
            subject: identity.role.subject(),
            certificate_sha256: hex::encode(&Sha256::digest(der)),
            spki_sha256: hex::encode(&identity.spki_sha256),
            not_after: identity.not_after.as_second(),
        })
    }
}

/// The entry number `index` of a log, which says that `event` happened at `ts` (Unix seconds).
pub fn canonical(index: u64, ts: i64, event: &Event) -> Vec<u8> {
    let Ok(Value::Object(fields)) = serde_json::to_value(event) else {
        unreachable!("an event is an object");
    };
    let mut sorted: BTreeMap<String, Value> = fields.into_iter().collect();
    sorted.insert("v".into(), VERSION.into());
    sorted.insert("seq".into(), index.into());
    sorted.insert("ts".into(), ts.into());
    Value::Object(sorted.into_iter().collect()).to_string().into_bytes()
}

/// The entry that says that the CA signed this certificate, rebuilt from the certificate and from
/// where and when (Unix seconds) it was logged.
///
/// # Errors
/// [`CertificateError`] if it is not of a fleet's profile.
pub fn certificate_issued(der: &[u8], index: u64, ts: i64) -> Result<Vec<u8>, CertificateError> {
    Ok(canonical(index, ts, &Event::certificate_issued(der)?))
}

/// An entry read from a log: of any kind, also one that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index in the log, as it says itself.
    pub seq: u64,
    /// Unix seconds.
    pub ts: i64,
    /// What happened: `device.enrolled` and so on.
    pub kind: String,
    /// All keys with their values.
    pub fields: BTreeMap<String, Value>,
}

impl Entry {
    /// Reads an entry; `None` if [`canonical`] would not write it so.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fields: BTreeMap<String, Value> = serde_json::from_slice(bytes).ok()?;
        let flat = fields.values().all(|value| match value {
            Value::Number(number) => !number.is_f64(),
            Value::Array(_) | Value::Object(_) => false,
            Value::Null | Value::Bool(_) | Value::String(_) => true,
        });
        let known = fields.get("v")?.as_u64()? == VERSION;
        let again = serde_json::to_vec(&fields).ok()?;
        Some(Self {
            seq: fields.get("seq")?.as_u64()?,
            ts: fields.get("ts")?.as_i64()?,
            kind: fields.get("type")?.as_str()?.to_owned(),
            fields,
        })
        .filter(|_| flat && known && again == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked() -> Event {
        Event::DeviceRevoked { device: "ab".into(), reason: "other".into(), actor: 7 }
    }

    #[test]
    fn entries_are_flat_sorted_json() {
        let entry = String::from_utf8(canonical(3, 5, &revoked())).unwrap();
        assert_eq!(
            entry,
            r#"{"actor":7,"device":"ab","reason":"other","seq":3,"ts":5,"type":"device.revoked","v":1}"#
        );
    }

    #[test]
    fn an_entry_is_read_back_and_no_other_spelling_is() {
        let good = String::from_utf8(canonical(3, 5, &revoked())).unwrap();
        let entry = Entry::parse(good.as_bytes()).unwrap();
        assert_eq!((entry.seq, entry.ts, entry.kind.as_str()), (3, 5, "device.revoked"));
        for bad in [
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("\"seq\":3", "\"seq\": 3"),
            good.replace("\"seq\":3", "\"seq\":3,\"seq\":3"),
            good.replace("\"seq\":3", "\"seq\":-3"),
            good.replace("\"ts\":5", "\"ts\":5.5"),
            good.replace("\"actor\":7", "\"actor\":7.0"),
            good.replace("\"actor\":7", "\"actor\":[]"),
            good.replace("ab", "\\u0061b"),
            good.replace("\"actor\":7,", "") + " ",
            good.replace(",\"type\":\"device.revoked\"", ""),
            String::new(),
        ] {
            assert_eq!(Entry::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
