//! The enrolment interface: one struct per JSON body, in the order they travel.
//!
//! | message | from | to | endpoint |
//! |---|---|---|---|
//! | [`EnrolRequest`] | device | authority | `POST /v1/enroll` |
//! | [`EnrolChallenge`] | authority | device | its answer |
//! | [`EnrolAnswer`] | device | authority | `POST /v1/enroll/{session}` |
//! | [`EnrolGrant`] | authority | device | its answer |
//! | [`RenewRequest`] | device (mutual TLS) | authority | `POST /v1/renew`, twice |
//! | [`RenewChallenge`] or [`RotateChallenge`], [`EnrolGrant`] | authority | device | its answers |
//! | [`AggregatorEnrolRequest`] | aggregator | authority | `POST /v1/aggregator/enroll` |
//! | [`AggregatorRenewRequest`] | aggregator (mutual TLS) | authority | `POST /v1/aggregator/renew` |
//! | [`AggregatorGrant`] | authority | aggregator | their answer |
//! | [`Info`] | authority | anybody | `GET /v1/info` |
//! | [`ErrorBody`] | authority | anybody | any refusal |
//!
//! TPM structures travel in their wire form (TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE without an
//! outer size; TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET likewise without it) as standard base64.
//! The authority refuses a body above [`BODY_MAX`] before parsing it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{DeviceId, Fleet, Name, SessionId};
use crate::inclusion::Inclusion;

/// The version of the enrolment interface; a request with another one is refused.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest request body the authority reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Longest single binary field, in bytes: a certificate with room to spare.
pub const FIELD_MAX: usize = 8 * 1024;

/// Most certificates sent beside the endorsement key's own.
pub const CHAIN_MAX: usize = 5;

/// PCRs of a bank: indices 0 to 23 (TCG PC Client Platform TPM Profile).
pub const PCR_COUNT: usize = 24;

/// Bytes of any length up to [`FIELD_MAX`], standard base64 in JSON.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

/// Exactly `N` bytes, standard base64 in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fixed<const N: usize>(pub [u8; N]);

/// A device asks to be enrolled and shows its public keys. Device to authority, over TLS.
///
/// Its `Debug` leaves the token out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The enrolment token; null where the fleet admits by allow-list.
    pub token: Option<String>,
    /// The endorsement key certificate, DER, NV padding trimmed.
    pub ek_certificate: Bytes,
    /// Intermediate certificates, DER, in any order; at most [`CHAIN_MAX`].
    pub ek_chain: Vec<Bytes>,
    /// TPMT_PUBLIC of the endorsement key.
    pub ek_public: Bytes,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Bytes,
    /// TPMT_PUBLIC of the device key.
    pub dk_public: Bytes,
    /// The X25519 identity, RFC 7748 encoding.
    pub x25519_public: Fixed<32>,
    /// TPM name of the storage root key that the device salts its sessions to; recorded.
    pub srk_name: Bytes,
    /// 32 bytes the device drew for this request.
    pub client_random: Fixed<32>,
}

/// What the device must answer, once, before `expires_at`. Authority to device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolChallenge {
    /// Names the session in the path of the answer.
    pub session: SessionId,
    /// 32 bytes the authority drew for this session.
    pub nonce: Fixed<32>,
    /// The URI of the authority, as in its certificate.
    pub authority_id: String,
    /// TPM2B_ID_OBJECT contents for TPM2_ActivateCredential.
    pub credential_blob: Bytes,
    /// TPM2B_ENCRYPTED_SECRET contents for TPM2_ActivateCredential.
    pub encrypted_secret: Bytes,
    /// The authority's ephemeral X25519 key of this session.
    pub x25519_challenge: Fixed<32>,
    /// PCRs of the SHA-256 bank to quote, ascending.
    pub pcr_selection: Vec<u8>,
    /// The session is gone after this moment.
    pub expires_at: Timestamp,
}

/// The evidence. Device to authority, over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolAnswer {
    /// TPMS_ATTEST of TPM2_Quote by the attestation key.
    pub quote_attest: Bytes,
    /// TPMT_SIGNATURE over it.
    pub quote_signature: Bytes,
    /// The quoted PCRs of the SHA-256 bank.
    pub pcrs: PcrValues,
    /// TPMS_ATTEST of TPM2_Certify of the device key by the attestation key.
    pub certify_attest: Bytes,
    /// TPMT_SIGNATURE over it.
    pub certify_signature: Bytes,
    /// PKCS#10 request, DER, signed by the device key; its attributes are ignored.
    pub csr: Bytes,
    /// [`crate::binding::Transcript::activation_proof`].
    pub activation_proof: Fixed<32>,
    /// [`crate::binding::prove_possession`].
    pub x25519_proof: Fixed<32>,
}

/// The device is enrolled, or renewed. Authority to device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolGrant {
    /// The identity the authority computed from the endorsement key.
    pub device: DeviceId,
    /// The fleet the certificate is of.
    pub fleet: Fleet,
    /// The certificate chain, PEM, leaf first.
    pub certificate: String,
    /// Counts enrolments of this endorsement key, from 1.
    pub epoch: u64,
    /// The attestation result ([`crate::result`]).
    pub result_jwt: String,
    /// Entry of the authority's log that records this issuance.
    pub log_index: u64,
    /// Proof that the certificate is in the authority's log.
    pub log: Inclusion,
    /// When to renew.
    pub renew_at: Timestamp,
    /// The head of its privacy ledger that the device sent last, if a renewal brought none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_head: Option<Bytes>,
}

/// Both steps of a renewal. Device to authority, over mutual TLS with the old certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum RenewRequest {
    /// Asks for a nonce.
    Challenge {
        /// [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// Answers it.
    Answer(Box<RenewAnswer>),
    /// Asks for a nonce to renew with new keys.
    Rotate {
        /// [`PROTOCOL_VERSION`].
        protocol: u32,
        /// TPMT_PUBLIC of the new device key.
        dk_public: Bytes,
        /// The new X25519 identity.
        x25519_public: Fixed<32>,
    },
    /// Answers that.
    RotateAnswer(Box<RotateAnswer>),
}

/// What a renewal with new keys must answer. Authority to device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateChallenge {
    /// As for a renewal that keeps the keys.
    pub renewal: RenewChallenge,
    /// The authority's ephemeral X25519 key of this session.
    pub x25519_challenge: Fixed<32>,
}

/// Fresh evidence of a device already enrolled, for new keys: the attestation key on record vouches
/// for them, and the request is by the new device key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateAnswer {
    /// Quote and request; extraData is [`crate::binding::Transcript::quote_data`] of
    /// [`crate::binding::Renewal::rotation`].
    pub renewal: RenewAnswer,
    /// TPMS_ATTEST of TPM2_Certify of the new device key by the attestation key.
    pub certify_attest: Bytes,
    /// TPMT_SIGNATURE over it.
    pub certify_signature: Bytes,
    /// [`crate::binding::prove_possession`] of the new X25519 key.
    pub x25519_proof: Fixed<32>,
}

/// Fresh evidence of a device already enrolled; its keys stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewAnswer {
    /// The session of the challenge.
    pub session: SessionId,
    /// TPMS_ATTEST of TPM2_Quote by the attestation key.
    pub quote_attest: Bytes,
    /// TPMT_SIGNATURE over it.
    pub quote_signature: Bytes,
    /// The quoted PCRs of the SHA-256 bank.
    pub pcrs: PcrValues,
    /// PKCS#10 request, DER, signed by the device key.
    pub csr: Bytes,
    /// The head of the device's privacy ledger, for the authority to keep: only the device can read
    /// or check it. None if the device lost it and wants the last one back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_head: Option<Bytes>,
}

/// What a renewal must quote. Authority to device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewChallenge {
    /// Names the session in the answer.
    pub session: SessionId,
    /// 32 bytes the authority drew for this session.
    pub nonce: Fixed<32>,
    /// PCRs of the SHA-256 bank to quote, ascending.
    pub pcr_selection: Vec<u8>,
    /// The session is gone after this moment.
    pub expires_at: Timestamp,
}

/// An aggregator asks for its certificate; the token's role decides. Over TLS.
///
/// Its `Debug` leaves the token out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorEnrolRequest {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// A token of the role aggregator.
    pub token: String,
    /// The name asked for; the token may prescribe it.
    pub name: Name,
    /// PKCS#10 request, DER; its attributes are ignored.
    pub csr: Bytes,
    /// DNS names agents reach it by.
    pub dns_names: Vec<String>,
    /// Addresses agents reach it by.
    pub addresses: Vec<IpAddr>,
}

/// An aggregator renews its certificate with the same names. Over mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorRenewRequest {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// PKCS#10 request, DER; its attributes are ignored.
    pub csr: Bytes,
}

/// The aggregator's certificate. Authority to aggregator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorGrant {
    /// The name in the certificate.
    pub name: Name,
    /// The fleet the certificate is of.
    pub fleet: Fleet,
    /// The certificate chain, PEM, leaf first.
    pub certificate: String,
    /// Entry of the authority's log that records this issuance.
    pub log_index: u64,
    /// Proof that the certificate is in the authority's log.
    pub log: Inclusion,
    /// When to renew.
    pub renew_at: Timestamp,
}

/// Who this authority is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// The fleet it enrols into.
    pub fleet: Fleet,
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
}

/// Why the authority said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// Stable code: `evidence_refused`, `token_invalid`, `revoked` and so on.
    pub code: String,
    /// What was wrong, in a sentence.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Number of the check that failed ([`crate::refusals`]); null if none is concerned.
    pub check: Option<String>,
}

/// PCR values of the SHA-256 bank by index; in JSON an object of hex strings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PcrValues(pub BTreeMap<u8, [u8; 32]>);

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("protocol", &self.protocol)
            .field("ek_public", &self.ek_public)
            .field("ak_public", &self.ak_public)
            .field("dk_public", &self.dk_public)
            .field("x25519_public", &self.x25519_public)
            .field("srk_name", &self.srk_name)
            .field("client_random", &self.client_random)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AggregatorEnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregatorEnrolRequest")
            .field("protocol", &self.protocol)
            .field("name", &self.name)
            .field("csr", &self.csr)
            .field("dns_names", &self.dns_names)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", STANDARD.encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for Fixed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fixed({})", STANDARD.encode(self.0))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

fn decode_base64<E: de::Error>(text: &str) -> Result<Vec<u8>, E> {
    let bytes = STANDARD.decode(text).map_err(|_| E::custom("not standard base64"))?;
    if bytes.len() > FIELD_MAX {
        return Err(E::custom(format_args!("longer than {FIELD_MAX} bytes")));
    }
    Ok(bytes)
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        decode_base64(&String::deserialize(deserializer)?).map(Self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = decode_base64(&String::deserialize(deserializer)?)?;
        let fixed = bytes.try_into();
        fixed.map(Self).map_err(|_| de::Error::custom(format_args!("not {N} bytes long")))
    }
}

impl Serialize for PcrValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(i, value)| (i, crate::hex::encode(value))))
    }
}

impl<'de> Deserialize<'de> for PcrValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PcrVisitor)
    }
}

/// Reads the object by hand because serde's map keeps the last of two equal keys silently.
struct PcrVisitor;

impl<'de> Visitor<'de> for PcrVisitor {
    type Value = PcrValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of PCR index to 64 hexadecimal digits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PcrValues, A::Error> {
        let mut values = BTreeMap::new();
        // Keys are read as text: inside a tagged enum serde offers them in no other form.
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            let index = (0..PCR_COUNT as u8)
                .find(|index| index.to_string() == key)
                .ok_or_else(|| de::Error::custom(format_args!("no PCR {key}")))?;
            let value = crate::hex::decode(&text)
                .ok_or_else(|| de::Error::custom("a PCR is 64 lower-case hexadecimal digits"))?;
            if values.insert(index, value).is_some() {
                return Err(de::Error::custom(format_args!("PCR {index} twice")));
            }
        }
        Ok(PcrValues(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcr_values_refuse_duplicates_and_strangers() {
        let value = "00".repeat(32);
        let good = format!(r#"{{"7":"{value}"}}"#);
        let parsed: PcrValues = serde_json::from_str(&good).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), good);
        for bad in [
            format!(r#"{{"7":"{value}","7":"{value}"}}"#),
            format!(r#"{{"24":"{value}"}}"#),
            format!(r#"{{"-1":"{value}"}}"#),
            format!(r#"{{"7":"{}"}}"#, &value[2..]),
        ] {
            assert!(serde_json::from_str::<PcrValues>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_and_duplicate_fields_are_refused() {
        let good = r#"{"protocol":1,"csr":"AAE="}"#;
        assert!(serde_json::from_str::<AggregatorRenewRequest>(good).is_ok());
        for bad in [
            r#"{"protocol":1,"csr":"AAE=","x":1}"#,
            r#"{"protocol":1,"protocol":1,"csr":"AAE="}"#,
            r#"{"protocol":1,"csr":"AAE"}"#,
            r#"{"protocol":1,"csr":"AA-_"}"#,
            r#"{"protocol":1}"#,
        ] {
            assert!(serde_json::from_str::<AggregatorRenewRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn renewal_steps_are_told_apart_by_a_tag() {
        let text = r#"{"step":"challenge","protocol":1}"#;
        let request: RenewRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request, RenewRequest::Challenge { protocol: 1 });
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert!(
            serde_json::from_str::<RenewRequest>(r#"{"step":"challenge","protocol":1,"x":0}"#)
                .is_err()
        );
        let answer = RenewRequest::Answer(Box::new(RenewAnswer {
            session: SessionId::from_bytes([7; 16]),
            quote_attest: vec![1].into(),
            quote_signature: vec![2].into(),
            pcrs: PcrValues(BTreeMap::from([(7, [3; 32])])),
            csr: vec![4].into(),
            ledger_head: None,
        }));
        let text = serde_json::to_string(&answer).unwrap();
        assert!(text.starts_with(r#"{"step":"answer","session":"0707"#), "{text}");
        assert_eq!(serde_json::from_str::<RenewRequest>(&text).unwrap(), answer);
    }

    #[test]
    fn tokens_are_not_printed() {
        let request = AggregatorEnrolRequest {
            protocol: 1,
            token: "sesame".into(),
            name: "sums".parse().unwrap(),
            csr: Bytes::default(),
            dns_names: vec![],
            addresses: vec![],
        };
        let printed = format!("{request:?}");
        assert!(printed.contains("sums") && !printed.contains("sesame"), "{printed}");
        assert!(serde_json::to_string(&request).unwrap().contains("sesame"));
    }

    #[test]
    fn a_field_is_bounded() {
        let text = |n: usize| format!("\"{}\"", STANDARD.encode(vec![0; n]));
        assert!(serde_json::from_str::<Bytes>(&text(FIELD_MAX)).is_ok());
        assert!(serde_json::from_str::<Bytes>(&text(FIELD_MAX + 1)).is_err());
        assert!(serde_json::from_str::<Fixed<32>>(&text(31)).is_err());
        assert!(serde_json::from_str::<Fixed<32>>(&text(33)).is_err());
    }
}
