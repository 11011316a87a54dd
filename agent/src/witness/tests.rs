//! Logs in memory, honest and forked, shown by relays and authorities of every kind.

use std::cell::Cell;

use ed25519_dalek::{Signer as _, SigningKey};
use sealsum_attest::events::certificate_issued;
use sealsum_attest::inclusion::{MembersProof, MembersRequest, Place};
use sealsum_attest::tlog::merkle::{Tree, prove_consistency, prove_inclusion, root};
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::{TreeHead, batch};
use sealsum_daemon::files;

use super::*;

const TS: i64 = 1_800_000_000;

/// A log with its key. Entries are certificates or anything else.
struct Authority {
    signer: SigningKey,
    key: NoteKey,
    entries: Vec<Vec<u8>>,
}

impl Authority {
    fn new(seed: u8) -> Self {
        let signer = SigningKey::from_bytes(&[seed; 32]);
        let key = NoteKey::new("test/authority-log", signer.verifying_key().as_bytes()).unwrap();
        Self { signer, key, entries: Vec::new() }
    }

    /// Holds this many entries that are no certificates.
    fn of(seed: u8, entries: u64) -> Self {
        let entries = (0..entries).map(|number| number.to_be_bytes().to_vec()).collect();
        Self { entries, ..Self::new(seed) }
    }

    fn log(&mut self, certificate: &[u8]) -> Place {
        let place = Place { index: self.entries.len() as u64, ts: TS };
        self.entries.push(certificate_issued(certificate, place.index, TS).unwrap());
        place
    }

    fn tree(&self) -> Tree {
        self.entries.iter().map(|entry| Hash::of_leaf(entry)).collect()
    }

    fn checkpoint(&self, size: u64) -> String {
        let Ok(root) = root(&self.tree(), size);
        let sign = |text: &[u8]| Ok::<_, ()>(self.signer.sign(text).to_bytes());
        SignedCheckpoint::sign(TreeHead { size, root }, &self.key, sign).unwrap().to_string()
    }

    fn newest(&self) -> String {
        self.checkpoint(self.entries.len() as u64)
    }

    fn inclusion(&self, place: Place) -> Inclusion {
        Inclusion {
            vkey: self.key.to_string(),
            checkpoint: self.newest(),
            index: place.index,
            ts: place.ts,
            proof: prove_inclusion(&self.tree(), place.index, self.entries.len() as u64).unwrap(),
        }
    }

    fn roster_proof(&self, members: &[(&[u8], Place)]) -> RosterProof {
        let certificates: Vec<&[u8]> = members.iter().map(|(der, _)| *der).collect();
        let mut indices: Vec<u64> = members.iter().map(|(_, place)| place.index).collect();
        indices.sort_unstable();
        let proof = MembersProof {
            checkpoint: self.newest(),
            members: members.iter().map(|(_, place)| *place).collect(),
            proof: batch::prove(&self.tree(), &indices, self.entries.len() as u64).unwrap(),
        };
        RosterProof::new(MembersRequest::about(&certificates), proof)
    }

    /// As the authority answers: a proof, or a no.
    fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, Failure> {
        let size = self.entries.len() as u64;
        if to > size {
            return Err(Failure::new(codes::REFUSED, "log: it is shorter", "ask for less"));
        }
        Ok(prove_consistency(&self.tree(), from, to).unwrap())
    }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(&dir.path().join("state")).unwrap();
    (dir, state)
}

/// A certificate of a device, DER, signed by anybody.
fn certificate(device: u8) -> Vec<u8> {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
    use sealsum_attest::certificate::{X25519_EXTENSION_ARCS, x25519_extension_value};
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://test/device/{}", format!("{device:02x}").repeat(32));
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.custom_extensions.push(CustomExtension::from_oid_content(
        &X25519_EXTENSION_ARCS,
        x25519_extension_value(&[device; 32]),
    ));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn unreachable(_: u64, _: u64) -> Result<Vec<Hash>, Failure> {
    Err(Failure::new(codes::UNREACHABLE, "authority: nobody answers", "wait"))
}

/// Pins the log as it is.
fn pinned(state: &StateDir, authority: &Authority) -> Witness {
    let kept = Kept { vkey: authority.key.to_string(), checkpoint: authority.newest() };
    state.write(KNOWN, &kept).unwrap();
    Witness::open(state).unwrap()
}

fn last_size(witness: &Witness) -> u64 {
    witness.pinned().unwrap().last().head().size
}

#[test]
fn the_first_key_is_pinned_and_the_issued_certificate_must_be_in_the_log() {
    let (_dir, state) = state();
    let mut authority = Authority::of(1, 5);
    let der = certificate(7);
    let place = authority.log(&der);
    let ask = |from, to| authority.consistency(from, to);
    let provers = Provers { relay: None, log: &ask };
    let witness = Witness::open(&state).unwrap();
    let good = authority.inclusion(place);
    let refused = |shown: &Inclusion, der: &[u8]| witness.take(shown, der, provers).unwrap_err();
    for (what, bent) in [
        ("index", Inclusion { index: 4, ..good.clone() }),
        ("time", Inclusion { ts: TS + 1, ..good.clone() }),
        ("checkpoint", Inclusion { checkpoint: authority.checkpoint(5), ..good.clone() }),
        ("key", Inclusion { vkey: Authority::new(2).key.to_string(), ..good.clone() }),
        ("proof", Inclusion { proof: Vec::new(), ..good.clone() }),
    ] {
        assert_eq!(refused(&bent, &der).code, codes::LOG_INVALID, "{what}");
    }
    assert_eq!(refused(&good, &certificate(7)).code, codes::LOG_INVALID, "another certificate");
    assert!(!state.file(KNOWN).exists(), "nothing is pinned by what is refused");
    witness.take(&good, &der, provers).unwrap();

    let witness = Witness::open(&state).unwrap();
    let mut other = Authority::of(2, 5);
    let place = other.log(&der);
    let changed = witness.take(&other.inclusion(place), &der, provers).unwrap_err();
    assert_eq!(changed.code, codes::LOG_INVALID, "a later key is refused: {changed}");
    assert_eq!(last_size(&witness), 6);
}

#[test]
fn a_roster_is_proven_certificate_by_certificate_at_one_checkpoint() {
    let (_dir, state) = state();
    let mut authority = Authority::of(1, 3);
    let witness = pinned(&state, &authority);
    let ders: Vec<Vec<u8>> = (0..4).map(certificate).collect();
    let places: Vec<Place> = ders.iter().map(|der| authority.log(der)).collect();
    let ask = |from, to| authority.consistency(from, to);
    let provers = Provers { relay: Some(&ask), log: &unreachable };
    let roster: Vec<&[u8]> = ders.iter().map(Vec::as_slice).collect();
    // In the roster's order, not the log's.
    let members: Vec<_> = roster.iter().copied().zip(places).rev().collect();
    let good = authority.roster_proof(&members);
    let bend = |bend: &dyn Fn(&mut RosterProof)| {
        let mut bent = good.clone();
        bend(&mut bent);
        witness.prove(&bent, &roster, provers)
    };
    for (what, refused) in [
        ("index", bend(&|bent| bent.proof.members[0].index = 2)),
        ("time", bend(&|bent| bent.proof.members[1].ts += 1)),
        ("order", bend(&|bent| bent.proof.members.swap(0, 1))),
        ("a place missing", bend(&|bent| bent.proof.members.truncate(3))),
        ("a hash missing", bend(&|bent| bent.proof.proof.truncate(1))),
        ("a bit", bend(&|bent| bent.proof.proof[0].0[0] ^= 1)),
        ("stale", bend(&|bent| bent.proof.checkpoint = authority.checkpoint(5))),
        ("key", bend(&|bent| bent.proof.checkpoint = Authority::of(2, 7).newest())),
        ("a stranger", bend(&|bent| bent.certificates[0] = "ab".repeat(32))),
    ] {
        assert_eq!(refused.unwrap_err().code, codes::LOG_INVALID, "{what}");
    }
    assert!(witness.fork().is_none(), "what a relay breaks convicts nobody");
    assert_eq!(witness.prove(&good, &roster, provers).unwrap().len(), 4);
    assert_eq!(last_size(&witness), 7);
    // Whoever is left out of the proof is not proven.
    let three = authority.roster_proof(&members[1..]);
    let proven = witness.prove(&three, &roster, provers).unwrap();
    let left_out = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(members[0].0));
    assert!(proven.len() == 3 && !proven.contains(&left_out));
}

#[test]
fn a_broken_proof_of_a_relay_is_made_good_by_the_authority() {
    let (_dir, state) = state();
    let witness = pinned(&state, &Authority::of(1, 3));
    let grown = Authority::of(1, 9);
    let ask = |from, to| grown.consistency(from, to);
    let broken = |_, _| Ok(vec![Hash([0; 32])]);
    let shown = witness.verified(grown.newest().as_bytes()).unwrap();
    let alone = Provers { relay: Some(&broken), log: &unreachable };
    assert_eq!(witness.follow(&shown, alone).unwrap_err().code, codes::UNREACHABLE);
    assert!(witness.fork().is_none());
    assert_eq!(last_size(&witness), 3, "not taken without a proof");
    for relay in [&broken as Ask<'_>, &unreachable] {
        witness.follow(&shown, Provers { relay: Some(relay), log: &ask }).unwrap();
    }
    assert_eq!(last_size(&Witness::open(&state).unwrap()), 9);
    // One that is late counts, and nothing is forgotten.
    let asked = Cell::new(0);
    let count = |from, to| {
        asked.set(asked.get() + 1);
        grown.consistency(from, to)
    };
    witness.look(grown.checkpoint(5).as_bytes(), &count).unwrap();
    witness.look(grown.newest().as_bytes(), &count).unwrap();
    assert_eq!((asked.get(), last_size(&witness)), (1, 9));
}

/// What a fork leaves behind, judged as an auditor would.
fn evidence(state: &StateDir, key: &NoteKey) -> Verdict {
    let bytes = files::read_private(&state.file(FORK), 1 << 20).unwrap();
    serde_json::from_slice::<Evidence>(&bytes).unwrap().judge(key).unwrap()
}

#[test]
fn two_histories_under_one_key_are_found_and_stay_found_until_the_operator_acts() {
    let (_dir, state) = state();
    let authority = Authority::of(1, 8);
    let witness = pinned(&state, &authority);
    let mut forked = Authority::of(1, 7);
    forked.entries.push(b"another".to_vec());
    let ask = |from, to| forked.consistency(from, to);
    let refused = witness.look(forked.newest().as_bytes(), &ask).unwrap_err();
    assert_eq!(refused.code, codes::LOG_FORK, "{refused}");
    assert_eq!(evidence(&state, &authority.key), Verdict::Forked);

    let witness = Witness::open(&state).unwrap();
    assert_eq!(witness.demand_one_history().unwrap_err(), refused, "also after a restart");
    let honest = |from, to| authority.consistency(from, to);
    let again = witness.look(authority.newest().as_bytes(), &honest).unwrap_err();
    assert_eq!(again.code, codes::LOG_FORK, "the better history does not heal it");

    let strange = Authority::of(2, 8).newest();
    assert_eq!(witness.accept(strange.as_bytes()).unwrap_err().code, codes::LOG_INVALID);
    assert_eq!(witness.accept(forked.newest().as_bytes()), Ok(8));
    witness.demand_one_history().unwrap();
    witness.look(forked.newest().as_bytes(), &ask).unwrap();
    assert!(witness.look(authority.newest().as_bytes(), &honest).is_err());
    let kept = std::fs::read_dir(state.path()).unwrap().filter(|file| {
        file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("log-fork-")
    });
    assert_eq!(kept.count(), 1, "the evidence of the first is kept");
}

#[test]
fn a_log_that_went_back_or_grew_otherwise_is_refused_with_evidence() {
    let short = Authority::of(1, 6);
    let mut other = Authority::of(1, 7);
    other.entries.extend([b"other".to_vec(), b"and more".to_vec()]);
    for (now, verdict) in
        [(short, Verdict::Owed { old: 6, new: 8 }), (other, Verdict::Owed { old: 8, new: 9 })]
    {
        let (_dir, state) = state();
        let authority = Authority::of(1, 8);
        let witness = pinned(&state, &authority);
        let ask = |from, to| now.consistency(from, to);
        let refused = witness.look(now.newest().as_bytes(), &ask).unwrap_err();
        assert_eq!(refused.code, codes::LOG_FORK, "{refused}");
        assert_eq!(evidence(&state, &authority.key), verdict);
        assert_eq!(last_size(&witness), 8, "the memory stays");
    }
}

#[test]
fn damaged_memory_is_an_error_and_another_authority_begins_anew() {
    let (_dir, state) = state();
    let witness = pinned(&state, &Authority::of(1, 8));
    let mut forked = Authority::of(1, 8);
    forked.entries[0] = b"another".to_vec();
    let ask = |from, to| forked.consistency(from, to);
    witness.look(forked.newest().as_bytes(), &ask).unwrap_err();
    let mut other = Authority::of(2, 3);
    let der = certificate(7);
    let place = other.log(&der);
    let provers = Provers { relay: None, log: &unreachable };
    let refused = witness.take(&other.inclusion(place), &der, provers).unwrap_err();
    assert_eq!(refused.code, codes::LOG_FORK, "a fork is not healed by a certificate");
    let anew = Witness::anew(&state);
    assert_eq!(anew.pinned().unwrap_err().code, codes::LOG_INVALID);
    assert!(state.file(FORK).exists(), "nothing changes before the other log is pinned");
    anew.take(&other.inclusion(place), &der, provers).unwrap();
    let witness = Witness::open(&state).unwrap();
    witness.demand_one_history().unwrap();
    assert_eq!(last_size(&witness), 4);

    let mixed = Kept { vkey: Authority::new(2).key.to_string(), checkpoint: forked.newest() };
    state.write(KNOWN, &mixed).unwrap();
    assert_eq!(Witness::open(&state).err().unwrap().code, codes::FILE_FORMAT);
}
