//! I7: of the inputs of honest devices nothing can be computed but the sum over all honest members
//! of one agreed set of survivors, for each roster (T12 of the review of the protocol).
//!
//! A masked input is x_i + PRG(b_i) and one signed pair mask for each neighbour in the U2 that its
//! device masked against. The masks that are out of reach are unknowns; a combination of inputs is
//! determined if all of them vanish from it.

use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Encode;

use super::i3_one_secret::Reach;
use super::rank::{left_null_space, unit};
use crate::ledger::{Group, Ledger};
use crate::world::World;

pub(super) fn check(ledger: &Ledger, _: &World) -> Result<(), String> {
    (0..ledger.groups.len()).try_for_each(|place| check_group(ledger, place))
}

fn check_group(ledger: &Ledger, place: usize) -> Result<(), String> {
    let group = &ledger.groups[place];
    let reach = Reach::of(ledger, place);
    if !reach.self_mask.contains(&true) {
        return Ok(()); // Each masked input holds an unknown of its own.
    }
    let masked: Vec<(usize, &Bitmap)> = ledger
        .views_of(place)
        .filter(|view| view.honest)
        .filter_map(|view| Some((group.place(view.device)?, view.shared.as_ref()?)))
        .collect();
    let determined = left_null_space(unknown_masks(group, &reach, &masked));
    let agreed = agreed_totals(ledger, place, &masked);
    let is_total = |combination: &Vec<u64>| {
        let first = combination.iter().copied().find(|weight| *weight != 0).unwrap_or(0);
        let members: Vec<bool> = combination.iter().map(|weight| *weight != 0).collect();
        combination.iter().all(|weight| *weight == 0 || *weight == first)
            && agreed.contains(&members)
    };
    match determined.as_slice() {
        [] => Ok(()),
        [only] if is_total(only) => Ok(()),
        several => Err(describe(group, &masked, several)),
    }
}

/// One row for each masked input, one column for each mask that is out of reach.
fn unknown_masks(group: &Group, reach: &Reach, masked: &[(usize, &Bitmap)]) -> Vec<Vec<u64>> {
    let mut columns: BTreeMap<(usize, usize, Vec<u8>), usize> = BTreeMap::new();
    let mut cells = Vec::new();
    for (row, (own, shared)) in masked.iter().enumerate() {
        let mut cell = |key, plus| {
            let next = columns.len();
            cells.push((row, *columns.entry(key).or_insert(next), unit(plus)));
        };
        if !reach.self_mask[*own] {
            cell((*own, *own, Vec::new()), true);
        }
        for peer in group.cohort.neighbours_in(*own, shared) {
            let known = !group.honest[peer] || reach.mask_key[*own] || reach.mask_key[peer];
            if !known {
                let (low, high) = ((*own).min(peer), (*own).max(peer));
                cell((low, high, shared.encoded()), *own < peer);
            }
        }
    }
    let mut rows = vec![vec![0; columns.len()]; masked.len()];
    cells.into_iter().for_each(|(row, column, value)| rows[row][column] = value);
    rows
}

/// For each set of survivors that a quorum signed, and whose honest members all masked their
/// vectors, which of the masked inputs are in its total.
fn agreed_totals(ledger: &Ledger, place: usize, masked: &[(usize, &Bitmap)]) -> Vec<Vec<bool>> {
    let group = &ledger.groups[place];
    let quorum = group.floors.quorum;
    let came = |member: usize| masked.iter().any(|(own, _)| *own == member);
    let of_this = ledger.signatures.iter().filter(|((of, _), _)| *of == place);
    of_this
        .filter(|(_, signers)| signers.who.len() >= quorum)
        .filter(|(_, signers)| signers.survivors.iter().all(|i| !group.honest[i] || came(i)))
        .map(|(_, signers)| {
            masked.iter().map(|(own, _)| signers.survivors.contains(*own)).collect()
        })
        .collect()
}

fn describe(group: &Group, masked: &[(usize, &Bitmap)], determined: &[Vec<u64>]) -> String {
    let name = |combination: &Vec<u64>| {
        let members = combination.iter().zip(masked).filter(|(weight, _)| **weight != 0);
        let devices: Vec<usize> = members.map(|(_, (own, _))| group.devices[*own]).collect();
        format!("{devices:?}")
    };
    let all: Vec<String> = determined.iter().map(name).collect();
    format!("the inputs of these devices can be computed together: {}", all.join(", "))
}
