//! How a lying device deals what it likes under its own good signature.

use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::merkle;
use sealsum_protocol::messages::SharedKeys;

use super::Keys;

/// Signs a deal as its dealer does.
pub(super) fn sign(deal: &mut SharedKeys, (cohort, own): (&Cohort, usize), keys: &Keys) {
    let transcript = &cohort.transcript;
    let leaves = cohort.neighbours(own).zip(&deal.shares);
    let leaves = leaves.map(|(holder, dealt)| transcript.deal_leaf(holder, dealt));
    let root = merkle::root(leaves.collect());
    let string = transcript.deal_string(own, &deal.self_mask_commitment, &root);
    deal.signature = keys.signing.sign(&string);
}
