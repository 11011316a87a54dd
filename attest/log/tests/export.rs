//! An export, and every way in which it may not be the log that the key signed.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Log, export, files_of, key, verifier};
use sealsum_attest::tlog::tiles;
use sealsum_daemon::codes::{self, Code};
use sealsum_log::audit;
use signed_note::{StandardVerifier, VerifierList};
use tempfile::TempDir;
use tlog_tiles as other;

/// Two full tiles, a partial one and a second level.
const SIZE: u64 = 700;

/// An export of a log with `size` entries.
fn exported(size: u64) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::filled(&directory.path().join("log.db"), size);
    let out = directory.path().join("export");
    assert_eq!(export(log, &out).head().size, size);
    (directory, out)
}

/// The code that a changed export is refused with; the change is undone.
fn refused(out: &Path, file: &Path, bytes: Option<&[u8]>) -> Option<Code> {
    let good = fs::read(file).unwrap();
    match bytes {
        Some(bytes) => fs::write(file, bytes).unwrap(),
        None => fs::remove_file(file).unwrap(),
    }
    let verdict = audit::export(out, &verifier(), None);
    fs::write(file, good).unwrap();
    verdict.err().map(|failure| failure.code)
}

#[test]
fn an_export_verifies_and_says_what_is_in_it() {
    let (_directory, out) = exported(SIZE);
    let audited = audit::export(&out, &verifier(), None).unwrap();
    assert_eq!((audited.size, audited.origin.as_str()), (SIZE, common::ORIGIN));
    assert_eq!(audited.entries["device.revoked"], SIZE);
    assert_eq!(audited.first_at.unwrap().as_second(), common::NOW);
    let names: Vec<_> = files_of(&out)
        .iter()
        .map(|path| path.strip_prefix(&out).unwrap().to_str().unwrap().to_owned())
        .collect();
    let expected = [
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ];
    assert_eq!(names, expected);
}

#[test]
fn an_empty_log_can_be_exported_and_verified() {
    let (_directory, out) = exported(0);
    assert_eq!(audit::export(&out, &verifier(), None).unwrap().size, 0);
    assert_eq!(files_of(&out), [out.join("checkpoint")]);
}

#[test]
fn every_flipped_byte_of_an_export_is_refused() {
    let (_directory, out) = exported(6);
    for file in files_of(&out) {
        let good = fs::read(&file).unwrap();
        for byte in 0..good.len() {
            let mut bent = good.clone();
            bent[byte] ^= 1 << (byte % 8);
            let code = refused(&out, &file, Some(&bent));
            assert_eq!(code, Some(codes::LOG_INVALID), "{} byte {byte}", file.display());
        }
    }
    assert!(audit::export(&out, &verifier(), None).is_ok());
}

#[test]
fn a_flipped_byte_anywhere_in_a_larger_export_is_refused() {
    let (_directory, out) = exported(SIZE);
    for file in files_of(&out) {
        let good = fs::read(&file).unwrap();
        for byte in (0..good.len()).step_by(good.len() / 23 + 1) {
            let mut bent = good.clone();
            bent[byte] ^= 0x10;
            let code = refused(&out, &file, Some(&bent));
            assert_eq!(code, Some(codes::LOG_INVALID), "{} byte {byte}", file.display());
        }
    }
}

#[test]
fn cut_extended_missing_and_exchanged_files_are_refused() {
    let (_directory, out) = exported(SIZE);
    let invalid = Some(codes::LOG_INVALID);
    for file in files_of(&out) {
        let good = fs::read(&file).unwrap();
        let name = file.display();
        assert_eq!(refused(&out, &file, Some(&good[..good.len() - 1])), invalid, "{name}");
        assert_eq!(refused(&out, &file, Some(&[])), invalid, "{name}");
        assert_eq!(refused(&out, &file, Some(&[&good[..], b"\n"].concat())), invalid, "{name}");
        let missing = if file.ends_with("checkpoint") {
            Some(codes::FILE_NOT_FOUND)
        } else {
            invalid.clone()
        };
        assert_eq!(refused(&out, &file, None), missing, "{name}");
    }
    for (one, another) in [("tile/0/000", "tile/0/001"), ("tile/entries/000", "tile/entries/001")] {
        let (one, another) = (out.join(one), fs::read(out.join(another)).unwrap());
        assert_eq!(refused(&out, &one, Some(&another)), invalid);
    }
}

#[test]
fn reordered_dropped_and_added_entries_are_refused() {
    let (_directory, out) = exported(300);
    let file = out.join("tile/entries/000");
    let good = fs::read(&file).unwrap();
    let entries = tiles::entries(&good, 256).unwrap();
    let mut swapped = entries.clone();
    swapped.swap(17, 18);
    let mut dropped = entries.clone();
    dropped.remove(17);
    let mut doubled = entries.clone();
    doubled[18] = doubled[17];
    for bent in [swapped, dropped, doubled] {
        let bundle = tiles::bundle(bent).unwrap();
        assert_eq!(refused(&out, &file, Some(&bundle)), Some(codes::LOG_INVALID));
    }
    assert_eq!(refused(&out, &file, Some(&tiles::bundle(entries).unwrap())), None);
}

#[test]
fn entries_that_do_not_belong_are_refused_though_the_key_signed_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: String| directory.path().join(name);
    for (number, entry) in common::strange_entries().iter().enumerate() {
        let out = at(format!("export-{number}"));
        export(Log::of_stranger(&at(format!("{number}.db")), entry), &out);
        let failure = audit::export(&out, &verifier(), None).unwrap_err();
        assert_eq!(failure.code, codes::LOG_INVALID, "{number}");
        assert!(failure.message.contains("entry 0"), "{failure}");
        let failure = audit::prove(&out, &verifier(), 0).unwrap_err();
        assert_eq!(failure.code, codes::LOG_INVALID, "{number}");
    }
}

#[test]
fn a_log_grows_from_its_older_heads_and_a_fork_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let keep = |name: &str, log: &Log| {
        fs::write(at(name), log.checkpoint().to_string()).unwrap();
    };
    let log = Log::filled(&at("log.db"), 256);
    keep("older", &log);
    log.append("lost", 60);
    keep("newest", &log);
    log.append("lost", 1);
    let fork = Log::filled(&at("fork.db"), 255);
    fork.append("other", 1);
    keep("forked", &fork);
    fork.append("other", 500);
    keep("longer", &fork);

    let out = at("export");
    export(log, &out);
    let verify = |older: &str| audit::export(&out, &verifier(), Some(&at(older)));
    assert_eq!(verify("older").unwrap().older, Some(256));
    assert_eq!(verify("newest").unwrap().older, Some(316));
    for (older, why) in [("forked", "another history"), ("longer", "what was signed is gone")] {
        let failure = verify(older).unwrap_err();
        assert_eq!((failure.code.clone(), failure.exit_number()), (codes::LOG_FORK, 7), "{why}");
    }
    // A head by another key shows nothing about this log.
    let note = fs::read_to_string(at("older")).unwrap();
    fs::write(at("strange"), note.replace("demo", "dema")).unwrap();
    assert_eq!(verify("strange").unwrap_err().code, codes::LOG_INVALID);
    assert_eq!(verify("missing").unwrap_err().code, codes::FILE_NOT_FOUND);
}

#[test]
fn the_key_decides_and_comes_from_outside() {
    let (directory, out) = exported(3);
    let write = |path: PathBuf, seed: u8| {
        fs::write(&path, format!("{}\n", key(seed).verifier())).unwrap();
        path
    };
    let outside = write(directory.path().join("log.vkey"), 7);
    let inside = write(out.join("log.vkey"), 7);
    assert_eq!(audit::key_from_outside(&outside, &out).unwrap(), verifier());
    assert_eq!(audit::key_from_outside(&inside, &out).unwrap_err().code, codes::USAGE);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    assert_eq!(audit::key_from_outside(&link, &out).unwrap_err().code, codes::USAGE);
    let wrong = write(directory.path().join("wrong.vkey"), 8);
    let wrong = audit::key_from_outside(&wrong, &out).unwrap();
    assert_eq!(audit::export(&out, &wrong, None).unwrap_err().code, codes::LOG_INVALID);
    fs::write(&outside, "no key").unwrap();
    assert_eq!(audit::key_from_outside(&outside, &out).unwrap_err().code, codes::FILE_FORMAT);
}

#[test]
fn every_entry_is_proved_and_every_flip_of_a_proof_refused() {
    let (directory, out) = exported(SIZE);
    let path = directory.path().join("proof");
    for index in 0..SIZE {
        let proof = audit::prove(&out, &verifier(), index).unwrap().to_string();
        fs::write(&path, &proof).unwrap();
        assert_eq!(audit::proof(&path, &verifier()).unwrap().index, index);
    }
    assert_eq!(audit::prove(&out, &verifier(), SIZE).unwrap_err().code, codes::NOT_FOUND);
    let good = fs::read(&path).unwrap();
    for byte in 0..good.len() {
        let mut bent = good.clone();
        bent[byte] ^= 1 << (byte % 8);
        fs::write(&path, bent).unwrap();
        let failure = audit::proof(&path, &verifier()).unwrap_err();
        assert_eq!(failure.code, codes::LOG_INVALID, "byte {byte}");
    }
}

#[test]
fn no_proof_is_made_of_a_bent_export() {
    let (_directory, out) = exported(SIZE);
    for file in ["tile/0/000", "tile/entries/000", "tile/1/000.p/2"] {
        let file = out.join(file);
        let mut bytes = fs::read(&file).unwrap();
        bytes[40] ^= 1;
        fs::write(&file, &bytes).unwrap();
        // The proof of entry 0 needs the first hashes of each.
        let verdict = audit::prove(&out, &verifier(), 0);
        assert_eq!(verdict.err().map(|failure| failure.code), Some(codes::LOG_INVALID));
        bytes[40] ^= 1;
        fs::write(&file, &bytes).unwrap();
    }
    audit::prove(&out, &verifier(), 0).unwrap();
}

/// The independent implementation reads the files of the export; its paths name the height of the
/// tiles besides, as C2SP does no longer.
struct Other(PathBuf);

impl other::TileReader for Other {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[other::Tile]) -> Result<Vec<Vec<u8>>, other::Error> {
        let read = |tile: &other::Tile| {
            let path = tile.path().replace("tile/8/", "tile/");
            fs::read(self.0.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[other::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn an_independent_implementation_reads_the_export() {
    let (_directory, out) = exported(SIZE);
    let bytes = fs::read(out.join("checkpoint")).unwrap();
    let note = signed_note::Note::from_bytes(&bytes).unwrap();
    let key = StandardVerifier::new(&verifier().to_string()).unwrap();
    assert_eq!(note.verify(&VerifierList::new(vec![Box::new(key)])).unwrap().0.len(), 1);
    let checkpoint = other::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), (common::ORIGIN, SIZE));

    let files = Other(out.clone());
    let reader = other::TileHashReader::new(SIZE, *checkpoint.hash(), &files);
    assert_eq!(other::tree_hash(SIZE, &reader).unwrap(), *checkpoint.hash());
    for index in [0, 255, 256, 511, 512, 699] {
        let proof = other::prove_record(SIZE, index, &reader).unwrap();
        let name = if index < 512 { format!("{:03}", index / 256) } else { "002.p/188".into() };
        let bundle = fs::read(out.join("tile/entries").join(name)).unwrap();
        let width = if index < 512 { 256 } else { 188 };
        let entries = tiles::entries(&bundle, width).unwrap();
        let leaf = other::record_hash(entries[(index % 256) as usize]);
        other::check_record(&proof, SIZE, *checkpoint.hash(), index, leaf).unwrap();
    }
}
