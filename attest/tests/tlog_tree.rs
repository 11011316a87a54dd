//! The Merkle tree and its tiles: against RFC 6962's known answers, against an independent
//! implementation on every size up to 300, and bent in every way.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use sealsum_attest::tlog::audit::{AuditError, audit, extends};
use sealsum_attest::tlog::merkle::{
    HashStore, ProofError, ProveError, Tree, prove_consistency, prove_inclusion, root,
    verify_consistency, verify_inclusion,
};
use sealsum_attest::tlog::tiles::{self, Kind, Tile, TileError, TileReader, WIDTH};
use sealsum_attest::tlog::{Hash, TreeHead, batch, join, split};
use tlog_tiles as other;

const SIZES: u64 = 300;

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn tree(size: u64) -> Tree {
    (0..size).map(|number| Hash::of_leaf(&entry(number))).collect()
}

fn head(tree: &Tree, size: u64) -> TreeHead {
    TreeHead { size, root: root(tree, size).unwrap() }
}

/// The same log in the independent implementation.
struct Other(Vec<other::Hash>);

impl other::HashReader for Other {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<other::Hash>, other::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Other {
    fn of(size: u64) -> Self {
        let mut log = Self(Vec::new());
        for number in 0..size {
            let grown = other::stored_hashes(number, &entry(number), &log).unwrap();
            log.0.extend(grown);
        }
        log
    }
}

fn ours(hashes: &[other::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

fn theirs(hashes: &[Hash]) -> Vec<other::Hash> {
    hashes.iter().map(|hash| other::Hash(hash.0)).collect()
}

/// The proof with each bit flipped, shortened, lengthened, and reordered.
fn bent(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[proof, &[Hash([7; 32])]].concat(), [&[Hash([7; 32])], proof].concat()];
    for number in 0..proof.len() {
        all.push(proof[..number].to_vec());
        all.push(proof[number + 1..].to_vec());
        for bit in 0..256 {
            let mut flipped = proof.to_vec();
            flipped[number].0[bit / 8] ^= 1 << (bit % 8);
            all.push(flipped);
        }
        if number > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(number - 1, number);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn roots_are_those_of_the_certificate_transparency_vectors() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let tree: Tree = leaves.iter().map(|leaf| Hash::of_leaf(leaf)).collect();
    for (size, expected) in roots.iter().enumerate() {
        let found = root(&tree, size as u64).unwrap();
        assert_eq!(sealsum_attest::hex::encode(&found.0), *expected, "size {size}");
    }
}

#[test]
fn roots_and_proofs_equal_those_of_the_independent_implementation() {
    let (tree, log) = (tree(SIZES), Other::of(SIZES));
    for size in 1..=SIZES {
        let head = head(&tree, size);
        assert_eq!(head.root.0, other::tree_hash(size, &log).unwrap().0);
        for index in (0..size).step_by(if size > 70 { 7 } else { 1 }) {
            let proof = prove_inclusion(&tree, index, size).unwrap();
            assert_eq!(proof, ours(&other::prove_record(size, index, &log).unwrap()));
            verify_inclusion(&Hash::of_leaf(&entry(index)), index, &head, &proof).unwrap();
        }
        for old in (1..=size).step_by(if size > 70 { 7 } else { 1 }) {
            let proof = prove_consistency(&tree, old, size).unwrap();
            assert_eq!(proof, ours(&other::prove_tree(size, old, &log).unwrap()));
            verify_consistency(&self::head(&tree, old), &head, &proof).unwrap();
        }
    }
}

#[test]
fn every_bent_inclusion_proof_is_refused_by_both() {
    let tree = tree(40);
    for size in [1, 2, 3, 7, 8, 21, 40] {
        let head = head(&tree, size);
        for index in 0..size {
            let leaf = Hash::of_leaf(&entry(index));
            let proof = prove_inclusion(&tree, index, size).unwrap();
            for bent in bent(&proof) {
                assert!(verify_inclusion(&leaf, index, &head, &bent).is_err(), "{index}/{size}");
                let (root, leaf) = (other::Hash(head.root.0), other::Hash(leaf.0));
                assert!(other::check_record(&theirs(&bent), size, root, index, leaf).is_err());
            }
            for wrong in (0..size + 2).filter(|wrong| *wrong != index) {
                assert!(verify_inclusion(&leaf, wrong, &head, &proof).is_err());
            }
            let other_leaf = Hash::of_leaf(b"never logged");
            assert_eq!(verify_inclusion(&other_leaf, index, &head, &proof), Err(ProofError::Root));
        }
    }
}

#[test]
fn every_bent_consistency_proof_is_refused_by_both() {
    let tree = tree(40);
    for new in [2, 3, 7, 8, 21, 40] {
        let new = head(&tree, new);
        for old in (1..new.size).map(|old| head(&tree, old)) {
            let proof = prove_consistency(&tree, old.size, new.size).unwrap();
            for bent in bent(&proof) {
                assert!(verify_consistency(&old, &new, &bent).is_err());
                let roots = (other::Hash(new.root.0), other::Hash(old.root.0));
                let theirs = theirs(&bent);
                assert!(other::check_tree(&theirs, new.size, roots.0, old.size, roots.1).is_err());
            }
            let rewritten = TreeHead { root: Hash([1; 32]), ..old };
            assert_eq!(verify_consistency(&rewritten, &new, &proof), Err(ProofError::Root));
            let rewritten = TreeHead { root: Hash([1; 32]), ..new };
            assert_eq!(verify_consistency(&old, &rewritten, &proof), Err(ProofError::Root));
            assert!(verify_consistency(&new, &old, &proof).is_err(), "a log that shrinks");
        }
    }
}

#[test]
fn nothing_and_the_same_tree_need_no_hashes_but_the_right_root() {
    let tree = tree(9);
    let (empty, nine) = (head(&tree, 0), head(&tree, 9));
    for old in [empty, nine] {
        assert_eq!(prove_consistency(&tree, old.size, 9), Ok(vec![]));
        assert_eq!(verify_consistency(&old, &nine, &[]), Ok(()));
        let wrong = TreeHead { root: Hash([3; 32]), ..old };
        assert_eq!(verify_consistency(&wrong, &nine, &[]), Err(ProofError::Root));
        assert!(verify_consistency(&old, &nine, &[Hash([0; 32])]).is_err());
    }
    assert_eq!(prove_consistency(&tree, 10, 9), Err(ProveError::OutOfRange { asked: 10, size: 9 }));
    assert_eq!(prove_inclusion(&tree, 9, 9), Err(ProveError::OutOfRange { asked: 9, size: 9 }));
}

#[test]
fn a_batch_proof_shows_every_subset_of_a_small_tree_and_nothing_else() {
    let tree = tree(9);
    for size in 1..=9_u64 {
        let head = head(&tree, size);
        for subset in 1..1_u32 << size {
            let indices: Vec<u64> = (0..size).filter(|index| subset >> index & 1 == 1).collect();
            let leaves: Vec<(u64, Hash)> =
                indices.iter().map(|index| (*index, Hash::of_leaf(&entry(*index)))).collect();
            let proof = batch::prove(&tree, &indices, size).unwrap();
            assert_eq!(batch::verify(&leaves, &head, &proof), Ok(()));
            for number in 0..leaves.len() {
                let mut wrong = leaves.clone();
                wrong[number].1 = Hash::of_leaf(b"never logged");
                assert_eq!(batch::verify(&wrong, &head, &proof), Err(ProofError::Root));
            }
            if size >= 8 && subset % 37 == 0 {
                for bent in bent(&proof) {
                    assert!(batch::verify(&leaves, &head, &bent).is_err());
                }
            }
        }
    }
}

#[test]
fn a_batch_of_one_equals_the_single_proof_up_to_order_and_shares_what_it_can() {
    let tree = tree(1000);
    for index in [0, 1, 499, 998, 999] {
        let mut single = prove_inclusion(&tree, index, 1000).unwrap();
        let mut batch = batch::prove(&tree, &[index], 1000).unwrap();
        single.sort();
        batch.sort();
        assert_eq!(single, batch);
    }
    let all: Vec<u64> = (0..1000).collect();
    assert_eq!(batch::prove(&tree, &all, 1000).unwrap(), []);
    let some: Vec<u64> = (0..1000).step_by(5).collect();
    let shared = batch::prove(&tree, &some, 1000).unwrap().len();
    assert!(shared < 200 * 3, "{shared} hashes for 200 leaves");
}

#[test]
fn a_batch_has_bounded_ascending_leaves_of_the_tree() {
    let tree = tree(9);
    let head = head(&tree, 9);
    let leaf = |index| (index, Hash::of_leaf(&entry(index)));
    let unordered = ProofError::Leaves { max: batch::LEAVES_MAX };
    for wrong in [vec![], vec![leaf(3), leaf(3)], vec![leaf(4), leaf(3)]] {
        let indices: Vec<u64> = wrong.iter().map(|(index, _)| *index).collect();
        assert_eq!(batch::verify(&wrong, &head, &[]), Err(unordered));
        assert!(matches!(batch::prove(&tree, &indices, 9), Err(ProveError::Leaves { .. })));
    }
    let outside = batch::verify(&[leaf(3), leaf(9)], &head, &[]);
    assert_eq!(outside, Err(ProofError::OutOfRange { asked: 9, size: 9 }));
    let many: Vec<(u64, Hash)> = (0..=batch::LEAVES_MAX as u64).map(leaf).collect();
    let large = TreeHead { size: 1 << 62, root: head.root };
    assert_eq!(batch::verify(&many, &large, &[]), Err(unordered));
}

#[test]
fn a_proof_for_the_largest_tree_is_refused_without_overflow() {
    let huge = TreeHead { size: u64::MAX, root: Hash([0; 32]) };
    let zeros = vec![Hash([0; 32]); 64];
    let leaf = Hash([0; 32]);
    // 2^64 - 1 leaves: the last one hangs one step higher than the first.
    assert_eq!(
        verify_inclusion(&leaf, u64::MAX - 1, &huge, &zeros),
        Err(ProofError::Length { expected: 63, found: 64 })
    );
    assert_eq!(verify_inclusion(&leaf, u64::MAX - 1, &huge, &zeros[1..]), Err(ProofError::Root));
    assert_eq!(verify_inclusion(&leaf, 0, &huge, &zeros), Err(ProofError::Root));
    let old = TreeHead { size: u64::MAX - 1, root: Hash([0; 32]) };
    assert!(verify_consistency(&old, &huge, &zeros).is_err());
    assert!(batch::verify(&[(0, leaf), (u64::MAX - 1, leaf)], &huge, &zeros).is_err());
}

#[test]
fn hashes_are_read_back_as_written() {
    let hashes = [Hash([1; 32]), Hash([2; 32])];
    assert_eq!(split(&join(&hashes)).unwrap(), hashes);
    assert_eq!(split(&join(&hashes)[1..]), None);
    let text = hashes[0].to_string();
    assert_eq!(Hash::parse(&text), Some(hashes[0]));
    let unused_bits = text.replace("E=", "F=");
    assert_ne!(unused_bits, text);
    for wrong in [&text[1..], &unused_bits, text.trim_end_matches('='), ""] {
        assert_eq!(Hash::parse(wrong), None, "{wrong}");
    }
}

/// Every file of a log.
fn export(size: u64) -> BTreeMap<Tile, Vec<u8>> {
    let tree = tree(size);
    tiles::grown(0, size)
        .map(|tile| {
            let bytes = match tile.kind() {
                Kind::Level(_) => tiles::hashes(&tree, &tile).unwrap(),
                Kind::Entries => {
                    let entries: Vec<Vec<u8>> =
                        (tile.first()..tile.first() + u64::from(tile.width())).map(entry).collect();
                    tiles::bundle(entries.iter().map(Vec::as_slice)).unwrap()
                }
            };
            (tile, bytes)
        })
        .collect()
}

fn fetch(files: &BTreeMap<Tile, Vec<u8>>) -> impl Fn(&Tile) -> Result<Vec<u8>, String> {
    |tile| files.get(tile).cloned().ok_or(format!("no {tile}"))
}

#[test]
fn tiles_are_those_of_the_independent_implementation() {
    for (old, size) in [(0, 1), (0, 255), (0, 256), (0, 257), (255, 256), (256, 900), (0, 70_000)] {
        let ours: Vec<String> = tiles::grown(old, size)
            .filter(|tile| tile.kind() != Kind::Entries)
            .map(|tile| tile.to_string())
            .collect();
        let theirs: Vec<String> = other::Tile::new_tiles(8, old, size)
            .iter()
            .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
            .collect();
        assert_eq!(ours, theirs, "{old} to {size}");
    }
    let log = Other::of(600);
    for (tile, bytes) in export(600) {
        if let Kind::Level(level) = tile.kind() {
            let theirs = other::Tile::new(8, level, tile.index(), tile.width().into(), false);
            assert_eq!(theirs.read_data(&log).unwrap(), bytes, "{tile}");
        }
    }
}

#[test]
fn the_specifications_example_has_its_tiles() {
    let levels: Vec<String> = tiles::grown(0, 70_000).map(|tile| tile.to_string()).collect();
    for path in
        ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    {
        assert!(levels.iter().any(|level| level == path), "{path}");
    }
    assert_eq!(levels.len(), 274 + 274 + 2 + 1);
    assert_eq!(tiles::grown(70_000, 70_000).count(), 0);
}

#[test]
fn paths_have_one_spelling() {
    for path in ["tile/0/000", "tile/entries/x001/x234/067.p/5", "tile/7/000.p/127"] {
        assert_eq!(Tile::parse(path).unwrap().to_string(), path);
    }
    for path in [
        "tile/0/00",
        "tile/0/x000/000",
        "tile/0/x001/234/067",
        "tile/0/1000",
        "tile/00/000",
        "tile/8/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/0/+00",
        "tile/7/000.p/128",
        "tile/entries/",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Tile::parse(path), None, "{path}");
    }
}

#[test]
fn proofs_made_from_tiles_are_those_made_from_the_tree() {
    for size in [1, 255, 256, 257, 700] {
        let (tree, files) = (tree(size), export(size));
        let reader = TileReader::new(size, fetch(&files));
        assert_eq!(root(&reader, size).unwrap(), tree.head().root);
        for index in (0..size).step_by(13) {
            let ours = prove_inclusion(&reader, index, size).unwrap();
            assert_eq!(ours, prove_inclusion(&tree, index, size).unwrap());
        }
        for old in (1..=size).step_by(17) {
            let ours = prove_consistency(&reader, old, size).unwrap();
            assert_eq!(ours, prove_consistency(&tree, old, size).unwrap());
        }
        assert!(matches!(reader.subtree(0, size), Err(TileError::Missing { .. })));
    }
}

#[test]
fn a_tile_of_the_wrong_length_is_named() {
    let mut files = export(300);
    let tile = Tile::parse("tile/0/001.p/44").unwrap();
    files.get_mut(&tile).unwrap().pop();
    let error = root(&TileReader::new(300, fetch(&files)), 300).unwrap_err();
    assert_eq!(error, TileError::Length { tile, expected: 44 * 32, found: 44 * 32 - 1 });
    files.remove(&tile);
    let error = root(&TileReader::new(300, fetch(&files)), 300).unwrap_err();
    assert_eq!(error, TileError::Fetch("no tile/0/001.p/44".into()));
}

#[test]
fn bundles_hold_bounded_entries_exactly() {
    let longest = vec![7; tiles::ENTRY_MAX];
    let bytes = tiles::bundle([b"".as_slice(), &longest, b"x"]).unwrap();
    assert_eq!(tiles::entries(&bytes, 3).unwrap(), [b"".as_slice(), &longest, b"x"]);
    assert_eq!(tiles::entries(&bytes, 2), None);
    assert_eq!(tiles::entries(&bytes, 4), None);
    for end in [0, 1, 2, 3, bytes.len() - 1] {
        assert_eq!(tiles::entries(&bytes[..end], 3), None);
    }
    let too_long = vec![7; tiles::ENTRY_MAX + 1];
    assert_eq!(tiles::bundle([too_long.as_slice()]), None);
    let full = vec![b"".as_slice(); WIDTH.into()];
    assert!(tiles::bundle(full.clone()).is_some());
    assert_eq!(tiles::bundle(full.into_iter().chain([b"".as_slice()])), None);
}

#[test]
fn an_audit_reads_every_entry_and_finds_each_changed_file() {
    let (files, head) = (export(300), tree(300).head());
    let mut seen = Vec::new();
    let audited =
        audit(&head, fetch(&files), |index, entry| seen.push((index, entry.to_vec()))).unwrap();
    assert_eq!(seen, (0..300).map(|number| (number, entry(number))).collect::<Vec<_>>());
    assert_eq!(audited.head(), head);
    for tile in files.keys() {
        let mut changed = files.clone();
        *changed.get_mut(tile).unwrap().last_mut().unwrap() ^= 1;
        assert!(audit(&head, fetch(&changed), |_, _| ()).is_err(), "{tile} changed");
        let mut cut = files.clone();
        cut.get_mut(tile).unwrap().pop();
        assert!(audit(&head, fetch(&cut), |_, _| ()).is_err(), "{tile} cut");
        let mut missing = files.clone();
        missing.remove(tile);
        let error = AuditError::Fetch { tile: *tile, error: format!("no {tile}") };
        assert_eq!(audit(&head, fetch(&missing), |_, _| ()).unwrap_err(), error);
    }
    let forged = TreeHead { root: Hash([9; 32]), ..head };
    assert_eq!(audit(&forged, fetch(&files), |_, _| ()).unwrap_err(), AuditError::Root);
}

#[test]
fn an_audited_log_extends_each_older_head_and_no_other() {
    let tree = tree(50);
    for size in 0..=50 {
        let older = head(&tree, size);
        assert_eq!(extends(&tree, &older), Ok(()));
        let rewritten = TreeHead { root: Hash([9; 32]), ..older };
        assert_eq!(extends(&tree, &rewritten), Err(ProofError::Root));
    }
    let cut = self::tree(49);
    assert_eq!(extends(&cut, &tree.head()), Err(ProofError::OutOfRange { asked: 50, size: 49 }));
}
