//! One round, step by step: the protocol decides, this persists, then sends.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_attest::certificate::chain_from_pem;
use sealsum_attest_tpm::Vault;
use sealsum_daemon::Failure;
use sealsum_protocol::client::{
    self, Advertised, Answers, Checking, Identity, Masking, Once, Quantized,
};
use sealsum_protocol::dp::accountant::Charge;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::DeviceId;
use sealsum_protocol::messages::{InboundShares, Quorum, Roster, Sharers, Survivors};
use sealsum_protocol::task::{Privacy, RoundSpec};
use zeroize::Zeroizing;

use crate::courier::{Courier, now};
use crate::device::tpm_failure;
use crate::membership::Members;
use crate::pending::Waiting;
use crate::refusal;
use crate::rounds::{Entering, InProgress};
use crate::service::Service;
use crate::steps::Steps;
use crate::upload;
use crate::witness::{self, Provers};

/// How far a round got, for whoever records it.
#[derive(Debug, Default)]
pub struct Played {
    /// Whether the step was taken before which nothing of the update leaves.
    pub masked: bool,
    /// What was charged; nothing without noise or before that step.
    pub charge: Option<Charge>,
    /// The update whose masked form began to leave.
    pub consumed: Option<Waiting>,
}

/// Plays `spec` with the update that waits for its task. `played` is filled as it goes, so that
/// it is true also when this fails.
///
/// # Errors
/// Why the device is out of the round. All secrets of the round are erased by then.
pub fn play(
    service: &Service,
    spec: &RoundSpec,
    waiting: &Waiting,
    played: &mut Played,
) -> Result<(), Failure> {
    service.witness.demand_one_history()?;
    if let Some(epoch) = numbered(spec, waiting) {
        service.epochs().demand_new(&waiting.task, epoch)?;
    }
    let mut rng = seeded(service)?;
    let round = spec.round_id().to_string();
    let courier = Courier::new(service.device().aggregator(&service.config)?, &round);
    // Checks that fail early cost neither the round nor the update.
    let (advertised, vault) = enter(service, spec, waiting, &courier, &mut rng)?;
    let masking = share(service, &vault, advertised, &courier, &mut rng)?;
    let steps = Steps::new(service.ledger());
    let checking = mask(service, masking, spec, &courier, &steps, &mut rng, played)?;
    agree_and_reveal(checking, &courier, &steps)
}

/// Seeded from the TPM and the operating system, mixed.
fn seeded(service: &Service) -> Result<ChaCha20Rng, Failure> {
    let seed = sealsum_attest_tpm::random::seed(&service.tpm).map_err(|e| tpm_failure(&e))?;
    Ok(ChaCha20Rng::from_seed(**seed))
}

fn enter(
    service: &Service,
    spec: &RoundSpec,
    waiting: &Waiting,
    courier: &Courier,
    rng: &mut ChaCha20Rng,
) -> Result<(Advertised, Arc<Vault>), Failure> {
    let device = service.device();
    // The keys that the round is entered with, whatever replaces them meanwhile.
    let vault = Arc::clone(&device.vault);
    let certificate = leaf(&device.stored.certificate)?;
    let identity = Identity {
        device: DeviceId(*device.stored.device.as_bytes()),
        certificate: &certificate,
        static_key: vault.x25519_public(),
    };
    let task = &spec.signed_task.task;
    let in_progress = InProgress {
        round: spec.round_id().to_string(),
        task: task.name.clone(),
        task_sha256: task.hash().to_string(),
        number: spec.number,
    };
    // An update for a model names the round, and the owner's grant names the round's one model.
    let answers = Answers { round: waiting.round, model: spec.model() };
    let policy = service.config.policy.floors();
    let advertising = {
        let mut rounds = service.rounds();
        let mut marks = Entering { rounds: &mut rounds, round: in_progress };
        client::advertise(spec.clone(), &identity, &policy, &answers, &mut marks, now(), rng)
            .map_err(|refusal| refusal::failure(&refusal))?
    };
    let signature = device.identity.device_key().sign(advertising.statement());
    let signature = signature.map_err(|error| tpm_failure(&error))?;
    drop(device);
    let (advertised, message) = advertising.sign(signature.to_vec());
    courier.post("advertise", &message, advertised.limits().roster)?;
    Ok((advertised, vault))
}

fn share(
    service: &Service,
    vault: &Vault,
    advertised: Advertised,
    courier: &Courier,
    rng: &mut ChaCha20Rng,
) -> Result<Masking, Failure> {
    let limits = *advertised.limits();
    let roster: Roster = courier.get("roster", limits.roster)?;
    let came = now();
    let mut members = prove(service, &roster, courier, limits.inbound)?;
    let identity = ExchangeKey::from_bytes(&Zeroizing::new(vault.x25519().to_bytes()));
    let (sharing, shares) = advertised
        .share(&roster, &identity, &mut members, came, rng)
        .map_err(|error| refusal::error(&error))?;
    drop((identity, roster));
    courier.post("shares", &shares, limits.inbound)?;
    let inbound: InboundShares = courier.get("shares", limits.inbound)?;
    let (acknowledged, ack) =
        sharing.receive(&inbound, now()).map_err(|error| refusal::error(&error))?;
    courier.post("acks", &ack, limits.sharers)?;
    let sharers: Sharers = courier.get("sharers", limits.sharers)?;
    acknowledged.sharers(&sharers, now()).map_err(|error| refusal::error(&error))
}

/// Whom the authority's log knows of those in the roster.
fn prove(
    service: &Service,
    roster: &Roster,
    courier: &Courier,
    until_ms: u64,
) -> Result<Members, Failure> {
    let proof = courier.roster_proof(until_ms)?;
    let authority = witness::public_authority(&service.config)?;
    let certificates: Vec<&[u8]> =
        roster.entries.iter().map(|signed| signed.certificate.as_slice()).collect();
    let (relay, log) = (witness::ask(courier.aggregator()), witness::ask(&authority));
    let provers = Provers { relay: Some(&relay), log: &log };
    let proven = service.witness.prove(&proof, &certificates, provers)?;
    Ok(Members::new(&service.status_lists, proven))
}

fn mask(
    service: &Service,
    masking: Masking,
    spec: &RoundSpec,
    courier: &Courier,
    steps: &Steps<'_>,
    rng: &mut ChaCha20Rng,
    played: &mut Played,
) -> Result<Checking, Failure> {
    let limit = masking.seat().limits().survivors;
    let (waiting, quantized) = quantize(service, &masking, spec, rng)?;
    if let Some(epoch) = numbered(spec, &waiting) {
        service.epochs().give(&waiting.task, epoch)?;
    }
    let charge = masking.charge().map_err(|refusal| refusal::failure(&refusal))?;
    steps.next_masks(&waiting.task, charge);
    let masked = masking.mask(quantized, &mut Once::new(steps, 0), now());
    if steps.charged() {
        (played.masked, played.charge) = (true, charge);
    }
    let mut uploading = masked.map_err(|error| steps.explain(&error))?;
    service.pending().consume(&waiting, courier.round())?;
    played.consumed = Some(waiting);
    upload::in_order(
        uploading.chunks(),
        service.config.mask_threads(),
        |index| uploading.chunk(index),
        |index, chunk| courier.put_chunk(index, chunk, limit),
    )?;
    let message = uploading.masked_input();
    courier.post("masked", &message, limit)?;
    Ok(uploading.acknowledged())
}

/// The number of the data that an exact sum would show, if the application numbers its data.
fn numbered(spec: &RoundSpec, waiting: &Waiting) -> Option<u64> {
    waiting.data_epoch.filter(|_| spec.signed_task.task.privacy == Privacy::None)
}

/// The update that waits now, as integers with their noise: a newer one may have come since the
/// device entered. The plain vector is erased when this returns.
fn quantize(
    service: &Service,
    masking: &Masking,
    spec: &RoundSpec,
    rng: &mut ChaCha20Rng,
) -> Result<(Waiting, Quantized), Failure> {
    let task = &spec.signed_task.task.name;
    let loaded = service.pending().load(task)?;
    let answering =
        loaded.filter(|(waiting, _)| waiting.answers(spec.number, spec.model().is_some()));
    let (waiting, vector) = answering.ok_or_else(|| {
        let why = format!("task {task}: no update answers round {} any more", spec.number);
        refusal::failure(&Refusal::new(Guard::Submission, why))
    })?;
    let quantized = masking
        .prepare(&vector, waiting.weight.map(f64::from), rng)
        .map_err(|refusal| refusal::failure(&refusal))?;
    Ok((waiting, quantized))
}

fn agree_and_reveal(
    checking: Checking,
    courier: &Courier,
    steps: &Steps<'_>,
) -> Result<(), Failure> {
    let once = &mut Once::new(steps, 1);
    let limits = *checking.seat().limits();
    let survivors: Survivors = courier.get("survivors", limits.survivors)?;
    let (signed, signature) =
        checking.agree(&survivors, once, now()).map_err(|error| steps.explain(&error))?;
    courier.post("consistency", &signature, limits.quorum)?;
    let quorum: Quorum = courier.get("quorum", limits.quorum)?;
    let (unmasking, agreed) =
        signed.quorum(&quorum, now()).map_err(|error| refusal::error(&error))?;
    let reveal = unmasking.reveal(agreed, once, now()).map_err(|error| steps.explain(&error))?;
    courier.post("reveal", &reveal, limits.end)
}

/// The device's own certificate as other devices verify it: the leaf, DER.
fn leaf(pem: &str) -> Result<Vec<u8>, Failure> {
    let chain =
        chain_from_pem(pem).map_err(|error| Failure::bug(format!("certificate: {error}")))?;
    chain.into_iter().next().ok_or_else(|| Failure::bug("certificate: the chain is empty"))
}
