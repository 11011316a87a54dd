//! What one device answers, for everything that it can be shown.

use std::collections::{BTreeMap, BTreeSet};

use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::messages::{
    MaskedInput, Quorum, QuorumSignature, Reveal, RevealedSecret, Sharers, SurvivorView, Survivors,
};
use sealsum_protocol::server::Stage as Asked;
use sealsum_protocol::transcript::SecretKind;
use sealsum_test_fleet::{START, Said, WireDevice};

use crate::stage::{Letter, Set, Stage, bitmap, places};

/// What a device is asked to sign: U2 as it knows it, A and D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sets {
    pub(crate) shared: Set,
    pub(crate) alive: Set,
    pub(crate) lost: Set,
}

/// The answers of one device.
#[derive(PartialEq)]
pub(crate) struct Behaviour {
    /// Each U2 that it masks against.
    pub(crate) masks: BTreeSet<Set>,
    /// Each (U2, A, D) that it signs, if and only if each other device of A signed the same U2,
    /// with the shares that it reveals once a quorum signed the same.
    pub(crate) signs: BTreeMap<Sets, Vec<(usize, SecretKind)>>,
}

impl Behaviour {
    /// Runs device `own` through every local history.
    pub(crate) fn of(stage: &Stage, own: usize) -> Self {
        let masks = masked(stage, own);
        let mut signs = BTreeMap::new();
        for sets in masks.iter().flat_map(|shared| every_partition(stage.n(), *shared)) {
            if signs_for(stage, own, sets, &matching(stage, own, sets)).is_some() {
                needs_each_view(stage, own, sets);
                signs.insert(sets, needs_a_quorum(stage, own, sets));
            }
        }
        Self { masks, signs }
    }

    /// The answers of device `own`, if these are device 0's: the two change names.
    pub(crate) fn renamed(&self, own: usize) -> Self {
        let place = |device: usize| match device {
            0 => own,
            device if device == own => 0,
            device => device,
        };
        let set = |set: Set| places(set).fold(0, |renamed, device| renamed | 1 << place(device));
        let signs = self.signs.iter().map(|(sets, reveals)| {
            let mut reveals: Vec<_> =
                reveals.iter().map(|(dealer, kind)| (place(*dealer), *kind)).collect();
            reveals.sort_unstable_by_key(|(dealer, _)| *dealer);
            let Sets { shared, alive, lost } = *sets;
            (Sets { shared: set(shared), alive: set(alive), lost: set(lost) }, reveals)
        });
        Self {
            masks: self.masks.iter().map(|shared| set(*shared)).collect(),
            signs: signs.collect(),
        }
    }
}

/// Each U2 that the device masks against, whatever ciphertexts it was sent. Its masked input must
/// not depend on them.
fn masked(stage: &Stage, own: usize) -> BTreeSet<Set> {
    let mut said: BTreeMap<Set, Vec<Said>> = BTreeMap::new();
    for word in words(3, stage.n() - 1) {
        let letter = |dealer: usize| LETTERS[word[dealer - usize::from(dealer > own)]];
        let inbound = stage.inbound(own, letter);
        for shared in 0..=stage.all() {
            let mut device = stage.sharing(own);
            device.hear(Asked::InboundShares, &inbound, START).unwrap();
            let Ok(masked) = device.hear(Asked::Sharers, &sharers(stage, shared), START) else {
                continue;
            };
            let before = said.entry(shared).or_insert_with(|| masked.clone());
            assert_eq!(*before, masked, "device {own}, U2 {shared:b}");
        }
    }
    said.into_keys().collect()
}

const LETTERS: [Letter; 3] = [Letter::Withheld, Letter::Forwarded, Letter::Garbage];

/// Each word of `length` letters out of `letters`.
fn words(letters: usize, length: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..letters.pow(length as u32)).map(move |mut number| {
        let mut word = Vec::with_capacity(length);
        for _ in 0..length {
            word.push(number % letters);
            number /= letters;
        }
        word
    })
}

/// Each device alive, lost, both or neither.
fn every_partition(n: usize, shared: Set) -> impl Iterator<Item = Sets> {
    let all = 1u16 << n;
    (0..all).flat_map(move |alive| {
        (0..all).map(move |lost| Sets { shared, alive: alive as Set, lost: lost as Set })
    })
}

fn sharers(stage: &Stage, shared: Set) -> Vec<u8> {
    Sharers { shared: bitmap(stage.n(), shared) }.to_bytes()
}

/// A device that was sent everything and masked against `shared`; the root of its chunks.
fn uploaded(stage: &Stage, own: usize, shared: Set) -> (WireDevice, Hash) {
    let mut device = stage.sharing(own);
    let inbound = stage.inbound(own, |_| Letter::Forwarded);
    device.hear(Asked::InboundShares, &inbound, START).unwrap();
    let said = device.hear(Asked::Sharers, &sharers(stage, shared), START).unwrap();
    let Some(Said::Masked(bytes)) = said.last() else { panic!("a device masks") };
    (device, MaskedInput::from_bytes(bytes).unwrap().root)
}

/// The signature of each other device of A over the U2 of this one. The roots do not matter.
fn matching(stage: &Stage, own: usize, sets: Sets) -> Vec<SurvivorView> {
    let others = places(sets.alive).filter(|device| *device != own);
    others.map(|device| stage.view(device, sets.shared, Hash([7; 32]))).collect()
}

/// The device after it signed, with its signature, if it does.
fn signs_for(
    stage: &Stage,
    own: usize,
    sets: Sets,
    views: &[SurvivorView],
) -> Option<(WireDevice, Vec<u8>)> {
    let (mut device, _) = uploaded(stage, own, sets.shared);
    let [survivors, lost] = [sets.alive, sets.lost].map(|set| bitmap(stage.n(), set));
    let message = Survivors { survivors, lost, views: views.to_vec() };
    let said = device.hear(Asked::Survivors, &message.to_bytes(), START).ok()?;
    let [Said::Consistency(signature)] = said.as_slice() else { panic!("a device signs once") };
    Some((device, signature.clone()))
}

/// Asserts that the device signs only if each view is there and of its own U2.
fn needs_each_view(stage: &Stage, own: usize, sets: Sets) {
    let views = matching(stage, own, sets);
    for word in words(3, views.len()).filter(|word| word.iter().any(|letter| *letter != 0)) {
        let shown = views.iter().zip(&word).filter_map(|(view, letter)| match letter {
            0 => Some(view.clone()),
            1 => Some(stage.view(view.device.into(), sets.shared ^ 1 << own, view.root)),
            _ => None,
        });
        let shown: Vec<SurvivorView> = shown.collect();
        assert!(signs_for(stage, own, sets, &shown).is_none(), "device {own}, {sets:?}, {word:?}");
    }
}

/// Asserts that the device reveals to a quorum on its own string and to nothing less, and the same
/// to each; returns what.
fn needs_a_quorum(stage: &Stage, own: usize, sets: Sets) -> Vec<(usize, SecretKind)> {
    let mut revealed = BTreeSet::new();
    for signers in 0..=stage.all() {
        let quorum = (signers & sets.alive).count_ones() as usize;
        let reveals = reveals_to(stage, own, sets, signers);
        let enough = quorum >= stage.cohort.parameters.quorum;
        assert_eq!(reveals.is_some(), enough, "device {own}, {sets:?}, signed by {signers:b}");
        revealed.extend(reveals);
    }
    assert_eq!(revealed.len(), 1, "device {own}, {sets:?}: {revealed:?}");
    let reveals = revealed.pop_first().unwrap();
    reveals.into_iter().map(|(dealer, kind)| (dealer, SECRETS[kind])).collect()
}

const SECRETS: [SecretKind; 2] = [SecretKind::SelfMask, SecretKind::MaskKey];

/// Dealer and kind of each share that the device reveals to these signatures, if it does.
fn reveals_to(stage: &Stage, own: usize, sets: Sets, signers: Set) -> Option<Vec<(usize, usize)>> {
    let (mut device, _) = signs_for(stage, own, sets, &matching(stage, own, sets)).unwrap();
    let [shared, alive, lost] =
        [sets.shared, sets.alive, sets.lost].map(|set| bitmap(stage.n(), set));
    let string = stage.cohort.transcript.with_sharers(&shared).alive_string(&alive, &lost);
    let signatures = places(signers)
        .map(|device| QuorumSignature {
            device: device as u16,
            signature: stage.key(device).sign(&string),
        })
        .collect();
    let said = device.hear(Asked::Quorum, &Quorum { signatures }.to_bytes(), START).ok()?;
    let [Said::Reveal(bytes)] = said.as_slice() else { panic!("a device reveals once") };
    let shares = Reveal::from_bytes(bytes).unwrap().shares.into_iter();
    let kind = |secret: &RevealedSecret| usize::from(matches!(secret, RevealedSecret::MaskKey(_)));
    Some(shares.map(|share| (share.dealer.into(), kind(&share.secret))).collect())
}
