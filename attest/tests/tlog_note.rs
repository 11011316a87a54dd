//! Notes, checkpoints, proof files and memory: against an independent implementation, and bent
//! bit by bit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;

use ed25519_dalek::{Signer as _, SigningKey};
use sealsum_attest::tlog::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use sealsum_attest::tlog::memory::{Evidence, Memory, Refused, Verdict};
use sealsum_attest::tlog::merkle::{ProofError, Tree, prove_consistency, prove_inclusion, root};
use sealsum_attest::tlog::note::{KeyError, Note, NoteError, NoteKey, SIGNATURES_MAX, SignError};
use sealsum_attest::tlog::proof::{LogProof, LogProofError};
use sealsum_attest::tlog::witness::{Kept, Witness};
use sealsum_attest::tlog::{Hash, TreeHead};
use signed_note::{StandardVerifier, Verifier as _, VerifierList};

const NAME: &str = "fleet.example/log";

/// A log's key, private and public.
struct Log {
    signer: SigningKey,
    key: NoteKey,
}

impl Log {
    fn named(name: &str, seed: u8) -> Self {
        let signer = SigningKey::from_bytes(&[seed; 32]);
        let key = NoteKey::new(name, signer.verifying_key().as_bytes()).unwrap();
        Self { signer, key }
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], Infallible> {
        Ok(self.signer.sign(text).to_bytes())
    }

    fn note(&self, text: &str) -> Note {
        Note::sign(text, &self.key, |text| self.sign(text)).unwrap()
    }

    fn checkpoint(&self, head: TreeHead) -> SignedCheckpoint {
        SignedCheckpoint::sign(head, &self.key, |text| self.sign(text)).unwrap()
    }

    fn others(&self) -> VerifierList {
        VerifierList::new(vec![Box::new(StandardVerifier::new(&self.key.to_string()).unwrap())])
    }
}

fn log() -> Log {
    Log::named(NAME, 1)
}

fn tree(size: u64) -> Tree {
    (0..size).map(|number| Hash::of_leaf(&number.to_be_bytes())).collect()
}

fn signature_line(note: &Note) -> String {
    note.to_string().rsplit_once("\n\n").unwrap().1.to_owned()
}

#[test]
fn keys_and_notes_are_those_of_the_independent_implementation() {
    let log = log();
    let theirs = signed_note::new_ed25519_verifier_key(
        NAME,
        &old_dalek(log.signer.verifying_key().as_bytes()),
    );
    assert_eq!(log.key.to_string(), theirs);
    assert_eq!(NoteKey::parse(&theirs).as_ref(), Ok(&log.key));
    assert_eq!(StandardVerifier::new(&theirs).unwrap().key_id(), log.key.id());
    for text in ["one line\n", "\n", "an empty line\n\nbetween\n", "at the end\n\n", "ünïcode\n"]
    {
        let note = log.note(text);
        let parsed = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.text(), text.as_bytes());
        assert_eq!(parsed.verify(&log.others()).unwrap().0.len(), 1);
        assert_eq!(Note::parse(&parsed.to_bytes()).unwrap().verify(&log.key), Ok(text));
    }
}

/// The independent implementation uses an older release of the curve library.
fn old_dalek<K: for<'a> TryFrom<&'a [u8]>>(key: &[u8; 32]) -> K {
    K::try_from(key.as_slice()).unwrap_or_else(|_| panic!("a public key"))
}

#[test]
fn the_example_of_the_go_package_verifies() {
    let note = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = NoteKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
        .unwrap();
    assert!(Note::parse(note.as_bytes()).unwrap().verify(&key).unwrap().starts_with("If you"));
}

#[test]
fn every_bit_of_a_note_counts_and_every_truncation_is_refused() {
    let log = log();
    let good = log.note("some text\n").to_string().into_bytes();
    for bit in 0..good.len() * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let opened = Note::parse(&bent).map(|note| note.verify(&log.key).is_ok());
        assert_ne!(opened, Ok(true), "bit {bit}: {}", String::from_utf8_lossy(&bent));
    }
    for end in 0..good.len() {
        assert_eq!(Note::parse(&good[..end]), Err(NoteError::Malformed));
    }
}

#[test]
fn unknown_signatures_are_ignored_and_wrong_ones_are_not() {
    let (log, stranger) = (log(), Log::named("stranger", 2));
    let text = "some text\n";
    let (own, other) = (signature_line(&log.note(text)), signature_line(&stranger.note(text)));
    let twin = signature_line(&Log::named(NAME, 3).note(text));
    let wrong = signature_line(&log.note("other text\n"));
    let open = |lines: &[&str]| {
        let note = Note::parse(format!("{text}\n{}", lines.concat()).as_bytes()).unwrap();
        note.verify(&log.key).map(str::to_owned)
    };
    for lines in [&[&*own][..], &[&other, &own], &[&own, &other], &[&twin, &own], &[&own, &own]] {
        assert_eq!(open(lines), Ok(text.to_owned()));
    }
    for lines in [&[&*other][..], &[&twin]] {
        assert_eq!(open(lines), Err(NoteError::Unsigned(NAME.into())));
    }
    for lines in [&[&*wrong][..], &[&own, &wrong], &[&wrong, &own]] {
        assert_eq!(open(lines), Err(NoteError::Signature(NAME.into())));
    }
}

#[test]
fn a_note_has_one_spelling() {
    let log = log();
    let good = log.note("text\n").to_string();
    let line = signature_line(&log.note("text\n"));
    assert_eq!(Note::parse(good.as_bytes()).unwrap().to_string(), good);
    for wrong in [
        good.replace("— ", "- "),
        good.replace("— ", "—  "),
        good.replace('\n', "\r\n"),
        good.replace("text", "te\txt"),
        good.replace("text\n\n", "text\n"),
        good.replace("=\n", "\n"),
        good.replace(NAME, "a+b"),
        good.replace(NAME, "a\u{a0}b"),
        format!("{good}\n"),
        good.trim_end().to_owned(),
        "text\n\n".to_owned(),
        "text\n\n— name AAAAAA==\n".to_owned(),
        format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1)),
    ] {
        assert_ne!(wrong, good);
        assert_eq!(Note::parse(wrong.as_bytes()), Err(NoteError::Malformed), "{wrong}");
    }
    assert!(Note::parse(format!("text\n\n{}", line.repeat(16)).as_bytes()).is_ok());
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Malformed));
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let good = log().key.to_string();
    let (name, rest) = good.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    for (wrong, error) in [
        (format!("{name}+{id}"), KeyError::Format),
        (format!("{name}+{id}+{key}="), KeyError::Format),
        (format!("a b+{id}+{key}"), KeyError::Name),
        (format!("+{id}+{key}"), KeyError::Name),
        (format!("other+{id}+{key}"), KeyError::Id),
        (format!("{name}+{}+{key}", id.to_uppercase()), KeyError::Id),
        (format!("{name}+00000000+{key}"), KeyError::Id),
        (format!("{name}+{id}+{}", key.replacen("AY", "BI", 1)), KeyError::Type),
        (format!("{name}+{id}+{}", &key[..40]), KeyError::Key),
        (format!("{good}\n"), KeyError::Format),
    ] {
        assert_ne!(wrong, good);
        assert_eq!(NoteKey::parse(&wrong), Err(error), "{wrong}");
    }
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(NoteKey::new(NAME, &identity), Err(KeyError::Key), "a point of small order");
}

#[test]
fn signing_refuses_what_could_not_be_verified() {
    let log = log();
    for text in ["no newline", "", "bell\u{7}\n"] {
        let refused = Note::sign(text, &log.key, |text| log.sign(text));
        assert_eq!(refused, Err(SignError::Text), "{text}");
    }
    let other = Log::named(NAME, 2);
    let refused = Note::sign("text\n", &log.key, |text| other.sign(text));
    assert_eq!(refused, Err(SignError::OtherKey));
    let refused = Note::sign("text\n", &log.key, |_| Err("locked"));
    assert_eq!(refused, Err(SignError::Signer("locked")));
}

#[test]
fn checkpoints_are_those_of_the_independent_implementation() {
    for size in [0, 1, 5, 300] {
        let head = tree(size).head();
        let ours = Checkpoint::new(NAME, head).unwrap();
        let theirs =
            tlog_tiles::Checkpoint::new(NAME, size, tlog_tiles::Hash(head.root.0), "").unwrap();
        assert_eq!(ours.to_string().into_bytes(), theirs.to_bytes());
        assert_eq!(Checkpoint::parse(&ours.to_string()), Some(ours));
    }
    let extended = format!("{}one\ntwo\n", Checkpoint::new(NAME, tree(5).head()).unwrap());
    let ours = Checkpoint::parse(&extended).unwrap();
    let theirs = tlog_tiles::Checkpoint::from_bytes(extended.as_bytes()).unwrap();
    assert_eq!(ours.extensions(), ["one", "two"]);
    assert_eq!(theirs.extension(), "one\ntwo\n");
    assert_eq!(ours.to_string(), extended);
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let good = Checkpoint::new(NAME, tree(5).head()).unwrap().to_string();
    let root = tree(5).head().root.to_string();
    for wrong in [
        good.replace("\n5\n", "\n05\n"),
        good.replace("\n5\n", "\n+5\n"),
        good.replace("\n5\n", "\n-5\n"),
        good.replace("\n5\n", "\n0\n"),
        good.replace("\n5\n", "\n9223372036854775808\n"),
        good.replace(&root, &root[1..]),
        good.replace(&root, ""),
        good.replace(NAME, ""),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        format!("{good}\nextension\n"),
        format!("{good}tab\t\n"),
        String::new(),
    ] {
        assert_ne!(wrong, good);
        assert_eq!(Checkpoint::parse(&wrong), None, "{wrong}");
    }
}

#[test]
fn a_signed_checkpoint_is_of_the_logs_own_origin() {
    let log = log();
    let signed = log.checkpoint(tree(5).head());
    let opened = SignedCheckpoint::verify(signed.to_string().as_bytes(), &log.key).unwrap();
    assert_eq!(opened, signed);
    let other = log.note(&Checkpoint::new("other/log", tree(5).head()).unwrap().to_string());
    assert_eq!(
        SignedCheckpoint::verify(other.to_string().as_bytes(), &log.key),
        Err(CheckpointError::OtherLog("other/log".into()))
    );
    let text = log.note("no checkpoint\n");
    assert_eq!(
        SignedCheckpoint::verify(text.to_string().as_bytes(), &log.key),
        Err(CheckpointError::Malformed)
    );
    let unsigned =
        SignedCheckpoint::verify(signed.to_string().as_bytes(), &Log::named("stranger", 2).key);
    assert_eq!(unsigned, Err(CheckpointError::Note(NoteError::Unsigned("stranger".into()))));
}

fn proof(log: &Log, index: u64, size: u64) -> LogProof {
    let tree = tree(size);
    let hashes = prove_inclusion(&tree, index, size).unwrap();
    LogProof::new(index, hashes, &log.checkpoint(tree.head()))
}

#[test]
fn a_proof_file_has_the_specified_lines_and_verifies() {
    let log = log();
    let tree = tree(3);
    let file = proof(&log, 2, 3).with_extra(b"why".to_vec()).to_string();
    let expected = format!(
        "c2sp.org/tlog-proof@v1\nextra d2h5\nindex 2\n{}\n\n{}",
        root(&tree, 2).unwrap(),
        log.checkpoint(tree.head())
    );
    assert_eq!(file, expected);
    for size in [1, 2, 3, 8, 100] {
        for index in 0..size {
            let made = proof(&log, index, size);
            let parsed = LogProof::parse(made.to_string().as_bytes()).unwrap();
            assert_eq!(parsed, made);
            let checkpoint = parsed.verify(&index.to_be_bytes(), &log.key).unwrap();
            assert_eq!(checkpoint.head().size, size);
        }
    }
}

#[test]
fn every_bit_of_a_proof_file_counts_and_every_truncation_is_refused() {
    let log = log();
    let entry = 5_u64.to_be_bytes();
    let good = proof(&log, 5, 11).to_string().into_bytes();
    let verify = |bytes: &[u8]| LogProof::parse(bytes)?.verify(&entry, &log.key);
    verify(&good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bent).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&bent));
    }
    for end in 0..good.len() {
        assert!(verify(&good[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn a_proof_is_of_one_entry_under_one_key() {
    let log = log();
    let file = proof(&log, 5, 11);
    let other_entry = file.verify(&6_u64.to_be_bytes(), &log.key);
    assert_eq!(other_entry, Err(LogProofError::Proof(ProofError::Root)));
    let other_key = file.verify(&5_u64.to_be_bytes(), &Log::named(NAME, 2).key);
    assert!(matches!(other_key, Err(LogProofError::Checkpoint(_))));
    let lines = file.to_string();
    for wrong in [
        lines.replace("index 5", "index 05"),
        lines.replace("index 5", "extra !\nindex 5"),
        lines.replace("index 5", "index 5\nextra d2h5"),
        lines.replace("index 5\n", ""),
        lines.replace("@v1", "@v2"),
        lines.replacen(
            "index 5\n",
            &format!("index 5\n{}", format!("{}\n", Hash([0; 32])).repeat(64)),
            1,
        ),
    ] {
        assert_ne!(wrong, lines);
        assert_eq!(LogProof::parse(wrong.as_bytes()), Err(LogProofError::Malformed), "{wrong}");
    }
}

/// A log that was rewritten at its last entry before it grew.
fn forked(size: u64) -> Tree {
    let honest = (0..2_u64).map(|number| Hash::of_leaf(&number.to_be_bytes()));
    honest.chain((2..size).map(|_| Hash::of_leaf(b"rewritten"))).collect()
}

#[test]
fn memory_follows_a_log_that_only_grows() {
    let (log, tree) = (log(), tree(50));
    let at = |size| log.checkpoint(TreeHead { size, root: root(&tree, size).unwrap() });
    let mut memory = Memory::begin(at(0));
    for (old, new) in [(0, 1), (1, 1), (1, 7), (7, 8), (8, 50), (50, 50)] {
        let proof = prove_consistency(&tree, old, new).unwrap();
        memory = memory.advance(at(new), &proof).unwrap();
        assert_eq!(memory.last(), &at(new));
    }
}

#[test]
fn memory_refuses_a_fork_and_keeps_evidence_that_convinces_others() {
    let log = log();
    let memory = Memory::begin(log.checkpoint(tree(8).head()));
    let refused = memory.advance(log.checkpoint(forked(8).head()), &[]).unwrap_err();
    assert!(matches!(refused, Refused::Fork(_)));
    let stored = serde_json::to_string(refused.evidence().unwrap()).unwrap();
    let evidence: Evidence = serde_json::from_str(&stored).unwrap();
    assert_eq!(evidence.judge(&log.key), Ok(Verdict::Forked));
    assert!(evidence.judge(&Log::named(NAME, 2).key).is_err());
    let forged =
        Evidence { refused: evidence.refused.replace("\n8\n", "\n9\n"), ..evidence.clone() };
    assert_eq!(
        forged.judge(&log.key),
        Err(CheckpointError::Note(NoteError::Signature(NAME.into())))
    );
    let same = Evidence { refused: evidence.remembered.clone(), ..evidence };
    assert_eq!(same.judge(&log.key), Ok(Verdict::Same));
}

#[test]
fn memory_refuses_a_longer_fork_whatever_proof_comes_with_it() {
    let log = log();
    let memory = Memory::begin(log.checkpoint(tree(8).head()));
    let rewritten = forked(13);
    let of_the_fork = prove_consistency(&rewritten, 8, 13).unwrap();
    let of_the_log = prove_consistency(&tree(13), 8, 13).unwrap();
    for proof in [of_the_fork.as_slice(), &of_the_log, &[]] {
        let refused = memory.advance(log.checkpoint(rewritten.head()), proof).unwrap_err();
        let Refused::Unproven(_, evidence) = refused else { panic!("{refused}") };
        assert_eq!(evidence.judge(&log.key), Ok(Verdict::Owed { old: 8, new: 13 }));
    }
}

#[test]
fn memory_goes_neither_back_nor_to_another_log() {
    let (log, other) = (log(), Log::named("other/log", 1));
    let memory = Memory::begin(log.checkpoint(tree(8).head()));
    let back = memory.advance(log.checkpoint(tree(7).head()), &[]);
    assert_eq!(back, Err(Refused::WentBack { offered: 7, last: 8 }));
    let elsewhere = memory.advance(other.checkpoint(tree(8).head()), &[]);
    assert_eq!(elsewhere, Err(Refused::OtherLog("other/log".into())));
    let broken = memory.advance(log.checkpoint(tree(8).head()), &[Hash([0; 32])]);
    assert!(matches!(broken, Err(Refused::Unproven(ProofError::Length { .. }, _))));
}

#[test]
fn an_older_checkpoint_counts_only_with_a_proof_that_the_log_grew_from_it() {
    let (log, tree) = (log(), tree(13));
    let at = |tree: &Tree, size| log.checkpoint(TreeHead { size, root: root(tree, size).unwrap() });
    let memory = Memory::begin(at(&tree, 13));
    let proof = prove_consistency(&tree, 8, 13).unwrap();
    assert_eq!(memory.admit(at(&tree, 8), &proof), Ok(memory.clone()), "it never gets shorter");
    let rewritten = forked(8);
    for (shown, proof) in [(at(&tree, 8), &[][..]), (at(&rewritten, 8), &proof)] {
        let Err(Refused::Unproven(_, evidence)) = memory.admit(shown, proof) else { panic!() };
        assert_eq!(evidence.judge(&log.key), Ok(Verdict::Owed { old: 8, new: 13 }));
    }
    let other = Log::named("other/log", 1).checkpoint(at(&tree, 8).head().to_owned());
    assert_eq!(memory.admit(other, &proof), Err(Refused::OtherLog("other/log".into())));
}

#[test]
fn a_witness_comes_back_from_what_it_stored_and_believes_one_key() {
    let (log, tree) = (log(), tree(13));
    let at = |size| log.checkpoint(TreeHead { size, root: root(&tree, size).unwrap() });
    let witness = Witness::begin(&log.key.to_string(), &at(8).to_string()).unwrap();
    assert_eq!(witness.owed(&at(8)), None);
    assert_eq!(witness.owed(&at(5)), Some((5, 8)));
    assert_eq!(witness.owed(&at(13)), Some((8, 13)));
    let proof = prove_consistency(&tree, 8, 13).unwrap();
    let grown = witness.admit(at(13), &proof).unwrap();
    assert_eq!(Witness::try_from(&grown.kept()), Ok(grown.clone()));
    assert_eq!(grown.last(), &at(13));
    let other = Log::named(NAME, 2);
    let mixed = Kept { vkey: other.key.to_string(), ..grown.kept() };
    assert!(Witness::try_from(&mixed).is_err(), "a checkpoint by another key");
}
