//! First message: who are these keys? Cheap checks, before any work.

use jiff::Timestamp;

use super::{DeviceKeys, check_maker, name, parse_public};
use crate::binding::check_contributory;
use crate::certificate::PublicKey;
use crate::endorsement::{self, Anchors, Endorsement};
use crate::ids::DeviceId;
use crate::messages::{EnrolRequest, PROTOCOL_VERSION};
use crate::policy::{Door, EnrolmentPolicy};
use crate::refusals::{self, EK_TEMPLATE, NOT_ADMITTED, OTHER_KEY, Refusal, X25519_LOW_ORDER};
use crate::templates::{EkAlgorithm, check_ak, check_dk, check_ek};
use crate::tpm::Public;

/// Longest TPM name: a hash identifier and a SHA-512 digest.
const NAME_MAX: usize = 66;

/// A request whose keys are what they must be; nothing is proved about who holds them yet.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub(super) request: EnrolRequest,
    pub(super) device: DeviceId,
    pub(super) endorsement: Endorsement,
    pub(super) ek: Public,
    pub(super) ak: PublicKey,
    pub(super) dk: PublicKey,
    pub(super) keys: DeviceKeys,
    standing: Standing,
    policy_sha256: [u8; 32],
}

/// Checks the request of a device. A token is only demanded to be there: whether it is good, the
/// authority knows.
///
/// 1. The request is of this protocol version and within its bounds.
/// 2. The endorsement key is of a TCG default template and strong.
/// 3. An installed anchor vouches, at this time, for its certificate.
/// 4. The certificate is of exactly this key.
/// 5. Its algorithm and the firmware that made it suit the policy; the door is open to the device.
/// 6. The attestation key is restricted, fixed to its TPM and made by it, and signs ECDSA.
/// 7. The device key is likewise but unrestricted, and another one.
/// 8. The X25519 key is not of low order.
///
/// # Errors
/// The first check that fails.
pub fn admit(
    request: EnrolRequest,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_request_keys(request, Standing::Stranger, policy, now)
}

/// The same for a device whose endorsement key is on record and not revoked: it needs no token to
/// come back with new keys. Where only the allow-list opens the door, it must still be there.
///
/// # Errors
/// As [`admit`].
pub fn admit_known(
    request: EnrolRequest,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_request_keys(request, Standing::Known, policy, now)
}

/// What the records say of a device that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Stranger,
    Known,
}

fn check_request_keys(
    request: EnrolRequest,
    standing: Standing,
    policy: &EnrolmentPolicy,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    check_bounds(&request)?;
    let Endorsed { algorithm, ek, endorsement } = check_endorsed(&request, policy.anchors(), now)?;
    let device = DeviceId::from_ek_public(&request.ek_public.0);
    if algorithm != policy.ek_algorithm() && !policy.data().allow.contains(&device) {
        let (name, wanted) = (algorithm.name(), policy.ek_algorithm().name());
        return Err(EK_TEMPLATE
            .refuse(format_args!("an endorsement key {name}, but this fleet uses {wanted}")));
    }
    check_maker(&endorsement, policy)?;
    check_door(&request, standing, &device, policy)?;
    let (ak, dk, keys) = check_device_keys(&request)?;
    let policy_sha256 = *policy.sha256();
    Ok(Admitted { request, device, endorsement, ek, ak, dk, keys, standing, policy_sha256 })
}

/// An endorsement key that an anchor vouches for.
pub(crate) struct Endorsed {
    pub(crate) algorithm: EkAlgorithm,
    pub(crate) ek: Public,
    pub(crate) endorsement: Endorsement,
}

/// Checks the endorsement key and its certificate, but for what a policy says about them.
pub(crate) fn check_endorsed(
    request: &EnrolRequest,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Endorsed, Refusal> {
    let ek = parse_public("endorsement key", &request.ek_public.0)?;
    let (algorithm, key) = check_ek(&ek)?;
    let chain: Vec<&[u8]> = request.ek_chain.iter().map(|der| der.0.as_slice()).collect();
    let endorsement = endorsement::validate(&request.ek_certificate.0, &chain, anchors, now)?;
    if endorsement.key != key {
        return Err(OTHER_KEY.refuse("the certificate is of another endorsement key"));
    }
    Ok(Endorsed { algorithm, ek, endorsement })
}

/// Checks the other keys: attestation key, device key, and all of them together.
pub(crate) fn check_device_keys(
    request: &EnrolRequest,
) -> Result<(PublicKey, PublicKey, DeviceKeys), Refusal> {
    let ak = parse_public("attestation key", &request.ak_public.0)?;
    let ak_key = check_ak(&ak)?;
    let dk = parse_public("device key", &request.dk_public.0)?;
    let dk_key = check_dk(&dk, &ak)?;
    check_contributory(&request.x25519_public.0).map_err(|error| X25519_LOW_ORDER.refuse(error))?;
    let keys = DeviceKeys {
        ek_public: request.ek_public.0.clone(),
        ak_public: request.ak_public.0.clone(),
        ak_name: name("attestation key", &ak)?,
        dk_public: request.dk_public.0.clone(),
        dk_name: name("device key", &dk)?,
        srk_name: request.srk_name.0.clone(),
        x25519_public: request.x25519_public.0,
    };
    Ok((ak_key, dk_key, keys))
}

fn check_bounds(request: &EnrolRequest) -> Result<(), Refusal> {
    if request.protocol != PROTOCOL_VERSION {
        return Err(refusals::PROTOCOL_VERSION.refuse(format_args!(
            "protocol version {}, but this authority speaks {PROTOCOL_VERSION}",
            request.protocol
        )));
    }
    if request.srk_name.0.len() > NAME_MAX {
        return Err(refusals::PROTOCOL_VERSION.refuse("srk_name is longer than any TPM name"));
    }
    Ok(())
}

fn check_door(
    request: &EnrolRequest,
    standing: Standing,
    device: &DeviceId,
    policy: &EnrolmentPolicy,
) -> Result<(), Refusal> {
    let vouched = request.token.is_some() || standing == Standing::Known;
    let open = match policy.data().require {
        Door::Token => vouched,
        Door::AllowList => policy.allows(device),
        Door::TokenOrAllowList => vouched || policy.allows(device),
    };
    if open {
        Ok(())
    } else {
        Err(NOT_ADMITTED.refuse(format_args!("{device} has no token or place on the allow-list")))
    }
}

impl Admitted {
    /// The device that asks.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Its keys, for the checks that only the authority's records allow.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// Its token.
    pub fn token(&self) -> Option<&str> {
        self.request.token.as_deref()
    }

    /// The same, by the policy in force now.
    pub(super) fn again_by(
        self,
        policy: &EnrolmentPolicy,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if self.policy_sha256 == *policy.sha256() {
            return Ok(self);
        }
        check_request_keys(self.request, self.standing, policy, now)
    }
}
