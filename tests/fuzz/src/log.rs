//! The authority's log as devices and aggregators read it, and the status list.

use sealsum_attest::events::Entry;
use sealsum_attest::ids::Fleet;
use sealsum_attest::inclusion::{Consistency, Inclusion, MembersProof, MembersRequest};
use sealsum_attest::roster_proof::RosterProof;
use sealsum_attest::status::StatusList;
use sealsum_attest::tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use sealsum_attest::tlog::merkle::{
    Tree, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use sealsum_attest::tlog::note::{Note, NoteKey};
use sealsum_attest::tlog::proof::LogProof;
use sealsum_attest::tlog::tiles::{Tile, bundle, entries};
use sealsum_attest::tlog::{Hash, batch, join, split};
use serde_json::json;

use crate::bodies::respelt;
use crate::fixtures::{
    AUTHORITY, DEVICES, authority_signs, ca, log_signs, log_tree, log_vkey, now,
};
use crate::input::Input;
use crate::{Target, named};

/// One for each reader, and one for each kind of proof.
pub const TARGETS: &[Target] = &[
    named("note", note),
    named("note-key", note_key),
    named("checkpoint", checkpoint),
    named("signed-checkpoint", signed_checkpoint),
    named("log-proof", log_proof),
    named("log-entry", log_entry),
    named("tile-path", tile_path),
    named("tile-entries", tile_entries),
    named("tile-hashes", tile_hashes),
    named("inclusion", inclusion),
    named("consistency", |bytes| drop(respelt::<Consistency>(bytes))),
    named("members-request", |bytes| drop(respelt::<MembersRequest>(bytes))),
    named("members-proof", members_proof),
    named("roster-proof", roster_proof),
    named("bent-inclusion", bent_inclusion),
    named("bent-consistency", bent_consistency),
    named("bent-batch", bent_batch),
    named("status-list", status_list),
];

fn note(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes, "a second spelling");
    }
}

fn note_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = NoteKey::parse(text) {
        assert_eq!(key.to_string(), text, "a second spelling");
    }
}

fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text, "a second spelling");
    }
}

fn signed_checkpoint(bytes: &[u8]) {
    if let Ok(shown) = SignedCheckpoint::verify(bytes, &log_vkey()) {
        assert_eq!(shown.to_string().as_bytes(), bytes, "a second spelling");
        assert_eq!(shown.head(), &log_tree().head(), "a head that nobody signed");
    }
}

fn log_proof(bytes: &[u8]) {
    let Ok(proof) = LogProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes, "a second spelling");
    if proof.verify(b"3", &log_vkey()).is_ok() {
        assert_eq!(proof.index(), 3, "an entry in two places");
    }
}

fn log_entry(bytes: &[u8]) {
    if let Some(entry) = Entry::parse(bytes) {
        assert_eq!(serde_json::to_vec(&entry.fields).unwrap(), bytes, "a second spelling");
    }
}

fn tile_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(tile) = Tile::parse(text) {
        assert_eq!(tile.to_string(), text, "a second spelling");
        assert!(Tile::of(tile.kind(), tile.index(), i64::MAX as u64).is_some(), "of no log");
    }
}

fn tile_entries(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let width = 1 + u16::from(input.byte());
    let tile = input.rest();
    if let Some(found) = entries(tile, width) {
        assert_eq!(found.len(), usize::from(width));
        assert_eq!(bundle(found).as_deref(), Some(tile), "a second encoding");
    }
}

fn tile_hashes(bytes: &[u8]) {
    if let Some(hashes) = split(bytes) {
        assert_eq!(join(&hashes), bytes, "a second encoding");
    }
}

/// Of the first device, in the log of the fixtures.
fn inclusion(bytes: &[u8]) {
    let Some(shown) = respelt::<Inclusion>(bytes) else { return };
    if let Ok(checkpoint) = shown.verify(DEVICES[0], &log_vkey()) {
        let honest = prove_inclusion(&log_tree(), 1, checkpoint.head().size).unwrap();
        assert_eq!((shown.index, shown.proof), (1, honest), "a second proof");
    }
}

/// Of both devices, in either order.
fn members_proof(bytes: &[u8]) {
    let Some(shown) = respelt::<MembersProof>(bytes) else { return };
    for members in [DEVICES, [DEVICES[1], DEVICES[0]]] {
        if shown.verify(&members, &log_vkey()).is_ok() {
            assert_eq!(shown.proof, batch::prove(&log_tree(), &[1, 2], 5).unwrap());
        }
    }
}

fn roster_proof(bytes: &[u8]) {
    let Some(shown) = respelt::<RosterProof>(bytes) else { return };
    let Ok((checkpoint, proven)) = shown.verify(&DEVICES, &log_vkey()) else { return };
    assert_eq!(checkpoint.to_string(), log_signs(log_tree().head()).to_string());
    assert_eq!(proven.len(), shown.certificates.len(), "a certificate proven twice");
}

/// A tree of up to 64 leaves, which the input chooses.
fn tree(size: usize) -> Tree {
    (0..size as u8).map(|leaf| Hash::of_leaf(&[leaf])).collect()
}

/// An honest proof, bent by the rest of the input: hashes dropped, doubled, swapped, flipped.
fn bent(mut proof: Vec<Hash>, mut input: Input<'_>) -> Vec<Hash> {
    while !input.is_empty() && proof.len() < 80 {
        let (how, place, what) = (input.below(5), input.byte(), input.byte());
        let at = usize::from(place) % proof.len().max(1);
        match (how, proof.is_empty()) {
            (0, _) => proof.insert(at, Hash::of_leaf(&[what])),
            (_, true) => {}
            (1, _) => drop(proof.remove(at)),
            (2, _) => proof.insert(at, proof[usize::from(what) % proof.len()]),
            (3, _) => {
                let other = usize::from(what) % proof.len();
                proof.swap(at, other);
            }
            _ => proof[at].0[usize::from(what) % 32] ^= 1 << (what >> 5),
        }
    }
    proof
}

fn bent_inclusion(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let size = 1 + input.below(64);
    let (leaf, index) = (input.below(size), input.below(size) as u64);
    let tree = tree(size);
    let honest = prove_inclusion(&tree, leaf as u64, size as u64).unwrap();
    let shown = bent(honest.clone(), input);
    let holds = verify_inclusion(&Hash::of_leaf(&[leaf as u8]), index, &tree.head(), &shown);
    assert_eq!(holds.is_ok(), index == leaf as u64 && shown == honest, "a second proof");
}

fn bent_consistency(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let new = 1 + input.below(64);
    let (old, claimed) = (input.below(new + 1), input.below(new + 1));
    let (older, newer) = (tree(claimed).head(), tree(new));
    let honest = prove_consistency(&newer, old as u64, new as u64).unwrap();
    let shown = bent(honest, input);
    let holds = verify_consistency(&older, &newer.head(), &shown).is_ok();
    let expected = prove_consistency(&newer, claimed as u64, new as u64).unwrap();
    assert_eq!(holds, shown == expected, "a second proof");
}

fn bent_batch(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let size = 1 + input.below(64);
    let mut leaves: Vec<u64> = (0..1 + input.below(6)).map(|_| input.below(size) as u64).collect();
    leaves.sort_unstable();
    leaves.dedup();
    let tree = tree(size);
    let honest = batch::prove(&tree, &leaves, size as u64).unwrap();
    let shown = bent(honest.clone(), input);
    let named: Vec<(u64, Hash)> =
        leaves.iter().map(|leaf| (*leaf, Hash::of_leaf(&[*leaf as u8]))).collect();
    let holds = batch::verify(&named, &tree.head(), &shown).is_ok();
    assert_eq!(holds, shown == honest, "a second proof");
}

/// After a zero, a list for the authority to sign; else the signed list as it came.
fn status_list(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let sign = input.byte() == 0;
    let list = input.rest();
    let signed = match std::str::from_utf8(list) {
        Ok(text) if sign => signed_list(text),
        _ => list.to_vec(),
    };
    let Ok(found) = StatusList::verify(&signed, ca(), now(), Some(3)) else { return };
    assert!(found.number >= 3, "an older list");
    assert_eq!(found.fleet, "demo".parse::<Fleet>().unwrap());
    if sign {
        assert_eq!(respelt::<StatusList>(list), Some(found), "another list than was signed");
    }
}

fn signed_list(list: &str) -> Vec<u8> {
    let base64 =
        |bytes: &[u8]| serde_json::to_value(sealsum_attest::messages::Bytes(bytes.to_vec()));
    let signature = authority_signs(&[b"sealsum/v1/status-list\0", list.as_bytes()].concat());
    let signed = json!({
        "list": list,
        "signature": base64(&signature).unwrap(),
        "chain": [base64(AUTHORITY).unwrap()],
    });
    serde_json::to_vec(&signed).unwrap()
}
