//! What does not depend on the liar's choices: who entered, what they dealt, their keys.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::exchange::ExchangeKey;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::merkle::Tree;
use sealsum_protocol::messages::{
    DealtShare, InboundShare, InboundShares, Roster, SharedKeys, SurvivorView,
};
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::server::Stage as Asked;
use sealsum_protocol::signature::SecretKey;
use sealsum_protocol::task::RoundSpec;
use sealsum_test_fleet::{
    Marks, START, Said, WireDevice, enter, entry_rng, policy, spec, status_list, task,
};

/// A set of roster places, one bit each.
pub(crate) type Set = u8;

/// The places of a set.
pub(crate) fn places(set: Set) -> impl Iterator<Item = usize> {
    (0..8).filter(move |place| set >> place & 1 == 1)
}

/// A set as it is sent.
pub(crate) fn bitmap(n: usize, set: Set) -> Bitmap {
    Bitmap::of(n, places(set))
}

/// What becomes of one dealer's ciphertext on its way to one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    Withheld,
    Forwarded,
    Garbage,
}

/// A cohort that entered, each device with what it dealt.
pub(crate) struct Stage {
    spec: RoundSpec,
    roster: Vec<u8>,
    pub(crate) cohort: Cohort,
    deals: Vec<SharedKeys>,
    keys: Vec<SecretKey>,
}

impl Stage {
    /// `n` devices in a task that lets as many be lost as the parameters can survive.
    pub(crate) fn new(n: usize) -> Self {
        let dropout = if n < 5 { 0 } else { 200 };
        let spec = spec(task(n, |fields| fields.dropout_share_permille = dropout), 1);
        let entries = (0..n).map(|own| entered(&spec, own).1).collect();
        let roster = Roster { entries, status_list: status_list(1, &[]) };
        let plain = roster.entries.iter().map(|signed| signed.entry.clone()).collect();
        let cohort = Cohort::new(&spec, plain, 0).unwrap();
        let keys = (0..n).map(|own| round_key(&cohort, own)).collect();
        let mut stage = Self { spec, roster: roster.to_bytes(), cohort, deals: Vec::new(), keys };
        stage.deals = (0..n).map(|own| stage.dealer(own).1).collect();
        stage
    }

    pub(crate) fn n(&self) -> usize {
        self.cohort.size()
    }

    pub(crate) fn all(&self) -> Set {
        ((1u16 << self.n()) - 1) as Set
    }

    /// A device that dealt its shares; the same each time.
    pub(crate) fn sharing(&self, own: usize) -> WireDevice {
        let (device, message) = self.dealer(own);
        assert_eq!(message, self.deals[own], "a device draws the same again");
        device
    }

    fn dealer(&self, own: usize) -> (WireDevice, SharedKeys) {
        let (mut device, _) = entered(&self.spec, own);
        let said = device.hear(Asked::Roster, &self.roster, START).unwrap();
        let [Said::Shares(bytes)] = said.as_slice() else { panic!("a device deals once") };
        let message = SharedKeys::from_bytes(bytes).unwrap();
        (device, message)
    }

    /// The key that a device of the liar's would sign anything with.
    pub(crate) fn key(&self, index: usize) -> &SecretKey {
        &self.keys[index]
    }

    /// What `holder` is sent of each other device's shares.
    pub(crate) fn inbound(&self, holder: usize, letter: impl Fn(usize) -> Letter) -> Vec<u8> {
        let others = self.cohort.neighbours(holder);
        let shares = others.filter_map(|dealer| match letter(dealer) {
            Letter::Withheld => None,
            Letter::Forwarded => Some(self.dealt(dealer, holder, |_| ())),
            Letter::Garbage => Some(self.dealt(dealer, holder, |share| share.sealed[40] ^= 1)),
        });
        InboundShares { shares: shares.collect() }.to_bytes()
    }

    /// A share with its dealer's signature, after `change`.
    fn dealt(
        &self,
        dealer: usize,
        holder: usize,
        change: impl FnOnce(&mut DealtShare),
    ) -> InboundShare {
        let transcript = &self.cohort.transcript;
        let mut message = self.deals[dealer].clone();
        let place = self.cohort.neighbours(dealer).position(|index| index == holder).unwrap();
        change(&mut message.shares[place]);
        let leaves = self.cohort.neighbours(dealer).zip(&message.shares);
        let leaves = leaves.map(|(holder, dealt)| transcript.deal_leaf(holder, dealt));
        let tree = Tree::new(leaves.collect());
        let commitment = message.self_mask_commitment;
        let string = transcript.deal_string(dealer, &commitment, &tree.root());
        InboundShare {
            dealer: dealer as u16,
            dealer_commitment: commitment,
            dealt: message.shares[place].clone(),
            path: tree.path(place).unwrap(),
            signature: self.keys[dealer].sign(&string),
        }
    }

    /// What `device` signs with a masked input whose chunks have this root, if U2 is `shared`.
    pub(crate) fn view(&self, device: usize, shared: Set, root: Hash) -> SurvivorView {
        let transcript = self.cohort.transcript.with_sharers(&bitmap(self.n(), shared));
        let signature = self.keys[device].sign(&transcript.masked_string(&root));
        SurvivorView { device: device as u16, root, signature }
    }
}

fn entered(spec: &RoundSpec, own: usize) -> (WireDevice, SignedEntry) {
    enter(own, spec, &policy(), &mut Marks::default()).unwrap()
}

/// The round key is what a device draws third.
fn round_key(cohort: &Cohort, own: usize) -> SecretKey {
    let mut rng = entry_rng(own);
    let _ = (SecretScalar::random(&mut rng), ExchangeKey::draw(&mut rng));
    let key = SecretKey::draw(&mut rng);
    assert_eq!(cohort.entries[own].signing_key, key.public());
    key
}
