//! The keys of one enrolment, and the state that brings them back after a restart.

use crate::endorsement::{self, EkAlgorithm};
use crate::error::{TpmError, during};
use crate::evidence::{self, AkRecipe, Quote, Statement};
use crate::keys::{
    self, Blob, ak_template, dk_template, srk_template, wire, with_ak, with_child, with_primary,
    with_srk,
};
use crate::random;
use crate::seal;
use crate::session::ONE_EMPTY;
use crate::tls::DeviceKey;
use crate::vault::Vault;
use crate::worker::Tpm;
use sealsum_attest::binding::ActivationSecret;
use sealsum_attest::ids::DeviceId;
use sealsum_attest::messages::{Bytes, Fixed};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::resource_handles::Hierarchy;

/// The version of [`IdentityState`] that this program writes and reads.
pub const STATE_VERSION: u32 = 1;

/// Everything to store of an identity. No secret is in it in clear: what is private is encrypted
/// by this TPM, or by the key sealed in it.
///
/// TPM structures are in their wire form: TPMT_PUBLIC, TPM2B_PRIVATE without its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityState {
    /// [`STATE_VERSION`].
    pub version: u32,
    /// Which endorsement key the device enrols with.
    pub ek_algorithm: EkAlgorithm,
    /// Its TPMT_PUBLIC; SHA-256 of it is the device id.
    pub ek_public: Bytes,
    /// Its certificate (DER), if the TPM holds one.
    pub ek_certificate: Option<Bytes>,
    /// What makes the attestation key this one of all that its template can give.
    pub ak_unique: Fixed<32>,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Bytes,
    /// TPM name of the storage root key, pinned: nothing is salted to another.
    pub srk_name: Bytes,
    /// TPMT_PUBLIC of the device key.
    pub dk_public: Bytes,
    /// Its private part, encrypted by the TPM.
    pub dk_private: Bytes,
    /// PCRs of the SHA-256 bank that the key below is sealed to; may be empty.
    pub seal_pcrs: Vec<u8>,
    /// TPMT_PUBLIC of the sealed key.
    pub sealed_public: Bytes,
    /// The sealed key, encrypted by the TPM.
    pub sealed_private: Bytes,
    /// The X25519 public key.
    pub x25519_public: Fixed<32>,
    /// The X25519 seed, encrypted under the sealed key.
    pub x25519_encrypted: Bytes,
}

impl IdentityState {
    /// The device id: SHA-256 of the endorsement key's TPMT_PUBLIC.
    pub fn device(&self) -> DeviceId {
        DeviceId::from_ek_public(&self.ek_public.0)
    }

    fn ak(&self) -> AkRecipe {
        AkRecipe { unique: self.ak_unique.0, public: self.ak_public.0.clone() }
    }

    fn device_key(&self) -> Blob {
        Blob { public: self.dk_public.0.clone(), private: self.dk_private.0.clone() }
    }

    fn sealed_key(&self) -> Blob {
        Blob { public: self.sealed_public.0.clone(), private: self.sealed_private.0.clone() }
    }
}

/// The keys of one enrolment in a TPM that holds them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    tpm: Tpm,
    state: Arc<IdentityState>,
    device_key: DeviceKey,
}

impl Identity {
    /// Makes all keys anew. The endorsement key, and so the device id, is what it always was.
    ///
    /// # Errors
    /// [`TpmError::Password`] if the TPM's owner set one, [`TpmError::NoPcr`] if the TPM lacks a
    /// PCR of `seal_pcrs`, [`TpmError::Unreachable`] and the like.
    pub fn create(
        tpm: &Tpm,
        algorithm: EkAlgorithm,
        seal_pcrs: &[u8],
    ) -> Result<(Self, Vault), TpmError> {
        let endorsement = endorsement::read(tpm, algorithm)?;
        let device = DeviceId::from_ek_public(&endorsement.public);
        let ak_unique = **random::seed(tpm)?;
        let ak_public = tpm.run(move |context| make_ak(context, &ak_unique))?;
        let srk_name = tpm.run(read_srk_name)?;
        let device_key = tpm.run(in_srk(&srk_name, make_device_key))?;
        let sealing_key = random::seed(tpm)?;
        let sealed_key = tpm.run({
            let (name, pcrs, key) = (srk_name.clone(), seal_pcrs.to_vec(), sealing_key.clone());
            move |context| seal::seal(context, &name, &pcrs, &key)
        })?;
        let (vault, x25519_encrypted) = Vault::create(sealing_key, device, &random::seed(tpm)?)?;
        let state = IdentityState {
            version: STATE_VERSION,
            ek_algorithm: algorithm,
            ek_public: endorsement.public.into(),
            ek_certificate: endorsement.certificate.map(Bytes),
            ak_unique: Fixed(ak_unique),
            ak_public: ak_public.into(),
            srk_name: srk_name.into(),
            dk_public: device_key.public.into(),
            dk_private: device_key.private.into(),
            seal_pcrs: seal_pcrs.into(),
            sealed_public: sealed_key.public.into(),
            sealed_private: sealed_key.private.into(),
            x25519_public: Fixed(vault.x25519_public()),
            x25519_encrypted: x25519_encrypted.into(),
        };
        Ok((Self::new(tpm, state)?, vault))
    }

    /// Makes a new device key, sealed key and X25519 identity beside the same attestation key,
    /// which can vouch for them.
    ///
    /// # Errors
    /// [`TpmError::Cleared`], otherwise as [`Self::create`].
    pub fn rotate(&self, seal_pcrs: &[u8]) -> Result<(Self, Vault), TpmError> {
        let srk_name = self.state.srk_name.0.clone();
        let device_key = self.tpm.run(in_srk(&srk_name, make_device_key))?;
        let sealing_key = random::seed(&self.tpm)?;
        let sealed_key = self.tpm.run({
            let (pcrs, key) = (seal_pcrs.to_vec(), sealing_key.clone());
            move |context| seal::seal(context, &srk_name, &pcrs, &key)
        })?;
        let seed = random::seed(&self.tpm)?;
        let (vault, x25519_encrypted) = Vault::create(sealing_key, self.device(), &seed)?;
        let state = IdentityState {
            dk_public: device_key.public.into(),
            dk_private: device_key.private.into(),
            seal_pcrs: seal_pcrs.into(),
            sealed_public: sealed_key.public.into(),
            sealed_private: sealed_key.private.into(),
            x25519_public: Fixed(vault.x25519_public()),
            x25519_encrypted: x25519_encrypted.into(),
            ..self.state.as_ref().clone()
        };
        Ok((Self::new(&self.tpm, state)?, vault))
    }

    /// Brings stored keys back and shows that they are this TPM's.
    ///
    /// # Errors
    /// [`TpmError::OtherTpm`] if the state was copied here, [`TpmError::Cleared`] if the TPM was
    /// cleared since, [`TpmError::Damaged`], [`TpmError::StateVersion`],
    /// [`TpmError::Unreachable`] and the like.
    pub fn load(tpm: &Tpm, state: IdentityState) -> Result<Self, TpmError> {
        if state.version != STATE_VERSION {
            return Err(TpmError::StateVersion { found: state.version, known: STATE_VERSION });
        }
        let (ak, srk_name, device_key) = (state.ak(), state.srk_name.clone(), state.device_key());
        tpm.run(move |context| {
            with_ak(context, &ak.unique, &ak.public, |_, _| Ok(()))?;
            with_child(context, &srk_name.0, "the device key", &device_key, |_, _| Ok(()))
        })?;
        Self::new(tpm, state)
    }

    /// Unseals the key and decrypts the X25519 identity.
    ///
    /// # Errors
    /// [`TpmError::PcrChanged`] if the measured boot differs, otherwise as [`Self::load`].
    pub fn open_vault(&self) -> Result<Vault, TpmError> {
        let state = Arc::clone(&self.state);
        let key = self.tpm.run(move |context| {
            let blob = state.sealed_key();
            seal::unseal(context, &state.srk_name.0, &state.seal_pcrs, &blob)
        })?;
        let vault = Vault::open(key, self.device(), &self.state.x25519_encrypted.0)?;
        if vault.x25519_public() != self.state.x25519_public.0 {
            return Err(TpmError::Damaged { what: "the X25519 identity" });
        }
        Ok(vault)
    }

    /// Shows that the TPM still holds the keys and opens what is sealed in it.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::open_vault`].
    pub fn check(&self) -> Result<(), TpmError> {
        Self::load(&self.tpm, self.state.as_ref().clone())?.open_vault().map(drop)
    }

    /// What to store.
    pub fn state(&self) -> &IdentityState {
        &self.state
    }

    /// The device id.
    pub fn device(&self) -> DeviceId {
        self.state.device()
    }

    /// The TPM that holds the keys.
    pub fn tpm(&self) -> &Tpm {
        &self.tpm
    }

    /// The device key, for TLS and for round entries.
    pub fn device_key(&self) -> &DeviceKey {
        &self.device_key
    }

    /// TPM2_Quote by the attestation key over `pcrs` of the SHA-256 bank, `data` as extraData.
    ///
    /// # Errors
    /// [`TpmError::NoPcr`], [`TpmError::PcrsUnstable`], [`TpmError::OtherTpm`],
    /// [`TpmError::Unreachable`] and the like.
    pub fn quote(&self, data: &[u8; 32], pcrs: &[u8]) -> Result<Quote, TpmError> {
        let (ak, data, pcrs) = (self.state.ak(), *data, pcrs.to_vec());
        self.tpm.run(move |context| evidence::quote(context, &ak, &data, &pcrs))
    }

    /// TPM2_Certify of the device key by the attestation key, `data` as extraData.
    ///
    /// # Errors
    /// [`TpmError::OtherTpm`], [`TpmError::Cleared`], [`TpmError::Unreachable`] and the like.
    pub fn certify(&self, data: &[u8; 32]) -> Result<Statement, TpmError> {
        let (state, data) = (Arc::clone(&self.state), *data);
        self.tpm.run(move |context| {
            let (ak, device_key) = (state.ak(), state.device_key());
            evidence::certify(context, &ak, &state.srk_name.0, &device_key, &data)
        })
    }

    /// TPM2_ActivateCredential with the endorsement key for the attestation key.
    ///
    /// # Errors
    /// [`TpmError::Credential`] if it was made for another key or another TPM,
    /// [`TpmError::Unreachable`] and the like.
    pub fn activate(&self, blob: &[u8], secret: &[u8]) -> Result<ActivationSecret, TpmError> {
        let (ak, algorithm) = (self.state.ak(), self.state.ek_algorithm);
        let (blob, secret) = (blob.to_vec(), secret.to_vec());
        self.tpm
            .run_slow(move |context| evidence::activate(context, algorithm, &ak, &blob, &secret))
    }

    fn new(tpm: &Tpm, state: IdentityState) -> Result<Self, TpmError> {
        let device_key = DeviceKey::new(tpm.clone(), state.srk_name.0.clone(), state.device_key())?;
        Ok(Self { tpm: tpm.clone(), state: Arc::new(state), device_key })
    }
}

/// Makes a job of what has to be done under the pinned storage root key.
fn in_srk<T>(
    name: &[u8],
    job: fn(&mut Context, KeyHandle) -> Result<T, TpmError>,
) -> impl FnMut(&mut Context) -> Result<T, TpmError> + use<T> {
    let name = name.to_vec();
    move |context| with_srk(context, &name, job)
}

fn make_ak(context: &mut Context, unique: &[u8; 32]) -> Result<Vec<u8>, TpmError> {
    let template = ak_template(unique)?;
    with_primary(context, "making the AK", Hierarchy::Endorsement, template, |_, _, public| {
        wire(public)
    })
}

fn read_srk_name(context: &mut Context) -> Result<Vec<u8>, TpmError> {
    let template = srk_template()?;
    with_primary(context, "making the SRK", Hierarchy::Owner, template, |_, _, public| {
        Ok(keys::name(&wire(public)?))
    })
}

fn make_device_key(context: &mut Context, srk: KeyHandle) -> Result<Blob, TpmError> {
    let template = dk_template()?;
    let made = context
        .execute_with_sessions(ONE_EMPTY, |context| {
            context.create(srk, template, None, None, None, None)
        })
        .map_err(during("making the device key"))?;
    Ok(Blob { public: wire(&made.out_public)?, private: made.out_private.value().into() })
}
