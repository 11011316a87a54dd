//! How a liar makes the message that fits its story, out of what devices said and what those that
//! work for it can sign.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::merkle::Tree;
use sealsum_protocol::messages::{
    InboundShare, InboundShares, Quorum, QuorumSignature, Sharers, SurvivorView, Survivors,
};
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::Signature;
use sealsum_protocol::transcript::Transcript;

use super::aggregator::{Story, Told};
use super::known::Known;
use super::liar::Scene;
use crate::ledger::device_of;

/// The message of a stage for one device.
pub(super) fn message(
    scene: &mut Scene<'_>,
    known: &Known,
    cohort: &Cohort,
    asked: &Told,
    story: &Story,
) -> Option<Vec<u8>> {
    let own = place_of(cohort, asked.device)?;
    Some(match asked.stage {
        Stage::Roster => return None,
        Stage::InboundShares => inbound(known, cohort, own).to_bytes(),
        Stage::Sharers => Sharers { shared: story.shared.clone() }.to_bytes(),
        Stage::Survivors => survivors(scene, known, cohort, own, story).to_bytes(),
        Stage::Quorum => quorum(scene, known, cohort, asked.device, story).to_bytes(),
    })
}

/// The place of a device in a roster.
pub(super) fn place_of(cohort: &Cohort, device: usize) -> Option<usize> {
    cohort.entries.iter().position(|entry| device_of(&entry.device) == device)
}

/// What was dealt under this roster to one holder.
fn inbound(known: &Known, cohort: &Cohort, holder: usize) -> InboundShares {
    let dealt = |dealer: usize| {
        let device = device_of(&cohort.device(dealer));
        let deal = known.deals.get(&device)?;
        let place = cohort.neighbours(dealer).position(|index| index == holder)?;
        let leaves = cohort.neighbours(dealer).zip(&deal.shares);
        let leaves = leaves.map(|(to, dealt)| cohort.transcript.deal_leaf(to, dealt));
        let tree = Tree::new(leaves.collect());
        let string =
            cohort.transcript.deal_string(dealer, &deal.self_mask_commitment, &tree.root());
        if !cohort.entries[dealer].signing_key.verifies(&string, &deal.signature) {
            return None; // Dealt under another roster, or spoilt.
        }
        Some(InboundShare {
            dealer: dealer as u16,
            dealer_commitment: deal.self_mask_commitment,
            dealt: deal.shares.get(place)?.clone(),
            path: tree.path(place)?,
            signature: deal.signature,
        })
    };
    InboundShares { shares: cohort.neighbours(holder).filter_map(dealt).collect() }
}

fn survivors(
    scene: &Scene<'_>,
    known: &Known,
    cohort: &Cohort,
    own: usize,
    story: &Story,
) -> Survivors {
    let transcript = cohort.transcript.with_sharers(&story.shared);
    let view = |neighbour: usize| {
        let device = device_of(&cohort.device(neighbour));
        let said = known.masked.get(&device);
        let root = said.map_or(Hash([0; 32]), |masked| masked.root);
        let signature = match scene.colluders.signing(device) {
            // It signs whatever U2 the story has.
            Some(key) => key.sign(&transcript.masked_string(&root)),
            None => said.map_or(Signature([0; 64]), |masked| masked.signature),
        };
        SurvivorView { device: neighbour as u16, root, signature }
    };
    Survivors {
        survivors: story.survivors.clone(),
        lost: story.lost.clone(),
        views: cohort.neighbours_in(own, &story.survivors).map(view).collect(),
    }
}

/// All signatures there are, whatever they are over, and those that corrupt devices make now.
fn quorum(
    scene: &mut Scene<'_>,
    known: &Known,
    cohort: &Cohort,
    to: usize,
    story: &Story,
) -> Quorum {
    let (survivors, lost) = shown(known, to, story);
    let transcript = cohort.transcript.with_sharers(&story.shared);
    let string = transcript.alive_string(&survivors, &lost);
    let mut signatures = Vec::new();
    for (index, entry) in cohort.entries.iter().enumerate() {
        let device = device_of(&entry.device);
        let forged = scene.colluders.signing(device).map(|key| key.sign(&string));
        if forged.is_some() {
            note(scene, &cohort.transcript, device, (&story.shared, &survivors, &lost));
        }
        if let Some(signature) = forged.or_else(|| known.signatures.get(&device).copied()) {
            signatures.push(QuorumSignature { device: index as u16, signature });
        }
    }
    Quorum { signatures }
}

/// The survivors that a device was shown; the story may have gone on since.
fn shown(known: &Known, device: usize, story: &Story) -> (Bitmap, Bitmap) {
    let told = known.told.get(&(device, Stage::Survivors));
    let told = told.and_then(|bytes| Survivors::from_bytes(bytes).ok());
    told.map_or_else(
        || (story.survivors.clone(), story.lost.clone()),
        |message| (message.survivors, message.lost),
    )
}

fn note(
    scene: &mut Scene<'_>,
    transcript: &Transcript,
    device: usize,
    (shared, survivors, lost): (&Bitmap, &Bitmap, &Bitmap),
) {
    let groups = &scene.ledger.groups;
    let group = groups.iter().position(|group| group.cohort.transcript == *transcript);
    if let Some(group) = group {
        scene.ledger.signed_by(group, device, shared.clone(), survivors.clone(), lost.clone());
    }
}
