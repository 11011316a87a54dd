//! The authority's log in memory, and what a double of the authority says about it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use ed25519_dalek::{Signer as _, SigningKey};
use sealsum_attest::events::certificate_issued;
use sealsum_attest::inclusion::{Consistency, Inclusion, MembersProof, Place};
use sealsum_attest::tlog::checkpoint::SignedCheckpoint;
use sealsum_attest::tlog::merkle::{Tree, prove_consistency, prove_inclusion};
use sealsum_attest::tlog::note::NoteKey;
use sealsum_attest::tlog::tiles::{Tile, hashes};
use sealsum_attest::tlog::{Hash, batch};
use sha2::{Digest, Sha256};

const TS: i64 = 1_800_000_000;

/// A log that a test may rewrite.
pub(crate) struct Log {
    signer: SigningKey,
    pub(crate) key: NoteKey,
    entries: Mutex<Vec<Hash>>,
    places: Mutex<HashMap<String, Place>>,
}

impl Log {
    pub(crate) fn new(fleet: &str) -> Self {
        let signer = SigningKey::from_bytes(&[5; 32]);
        let name = format!("{fleet}/authority-log");
        let key = NoteKey::new(&name, signer.verifying_key().as_bytes()).unwrap();
        // Entries of another kind come first in a true log too.
        let entries = vec![Hash::of_leaf(b"authority.created")];
        Self { signer, key, entries: Mutex::new(entries), places: Mutex::default() }
    }

    /// Logs a certificate.
    pub(crate) fn issued(&self, der: &[u8]) -> Place {
        let mut entries = self.entries();
        let place = Place { index: entries.len() as u64, ts: TS };
        entries.push(Hash::of_leaf(&certificate_issued(der, place.index, TS).unwrap()));
        let name = sealsum_attest::hex::encode(&Sha256::digest(der));
        self.places.lock().unwrap().insert(name, place);
        place
    }

    /// From now on the log tells its beginning otherwise.
    pub(crate) fn rewrite(&self) {
        self.entries()[0] = Hash::of_leaf(b"another beginning");
    }

    pub(crate) fn checkpoint(&self) -> SignedCheckpoint {
        let sign = |text: &[u8]| Ok::<_, ()>(self.signer.sign(text).to_bytes());
        SignedCheckpoint::sign(self.tree().head(), &self.key, sign).unwrap()
    }

    pub(crate) fn inclusion(&self, place: Place) -> Inclusion {
        let tree = self.tree();
        Inclusion {
            vkey: self.key.to_string(),
            checkpoint: self.checkpoint().to_string(),
            index: place.index,
            ts: place.ts,
            proof: prove_inclusion(&tree, place.index, tree.size()).unwrap(),
        }
    }

    /// The proof for these certificates; the first that is not there, by its hash.
    pub(crate) fn members(&self, certificates: &[String]) -> Result<MembersProof, String> {
        let places = self.places.lock().unwrap();
        let members: Result<Vec<Place>, String> = certificates
            .iter()
            .map(|name| places.get(name).copied().ok_or_else(|| name.clone()))
            .collect();
        let members = members?;
        let mut indices: Vec<u64> = members.iter().map(|place| place.index).collect();
        indices.sort_unstable();
        let tree = self.tree();
        let proof = batch::prove(&tree, &indices, tree.size()).unwrap();
        Ok(MembersProof { checkpoint: self.checkpoint().to_string(), members, proof })
    }

    pub(crate) fn consistency(&self, from: u64, to: u64) -> Option<Consistency> {
        let tree = self.tree();
        let proof = (to <= tree.size()).then(|| prove_consistency(&tree, from, to).unwrap());
        proof.map(|proof| Consistency { from, to, proof })
    }

    pub(crate) fn tile(&self, path: &str) -> Option<Vec<u8>> {
        hashes(&self.tree(), &Tile::parse(path)?).ok()
    }

    pub(crate) fn tree(&self) -> Tree {
        self.entries().iter().copied().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Hash>> {
        self.entries.lock().unwrap()
    }
}
