//! An aggregator without rules.
//!
//! It keeps all that every device said, has the keys of the devices that collude with it, and can
//! tell any device anything: each method that names a message composes one, which the caller may
//! change before [`Liar::tell`] hands its bytes to one device. What it then knows is
//! [`crate::leak`]'s matter. Devices are named by their place in the roster.
//!
//! ```no_run
//! # use sealsum_test_fleet::*;
//! let mut liar = Liar::new(6, task(6, |_| {}), &[5]); // device 5 colludes
//! liar.tell_each(|liar, _| liar.roster());
//! liar.tell_each(|liar, index| liar.inbound(index));
//! let everybody = liar.set(0..6);
//! liar.tell_each(|liar, _| liar.sharers(&everybody));
//! let (a, d) = (liar.set([0, 1, 2, 3, 5]), liar.set([4]));
//! liar.tell_each(|liar, index| liar.survivors(index, &a, &d));
//! liar.tell_each(|liar, _| liar.quorum(&everybody, &a, &d));
//! assert_eq!(liar.leaks(), Leak::Sum(vec![0, 1, 2, 3]));
//! ```

use std::cell::OnceCell;
use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::error::Refusal;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::merkle::Tree;
use sealsum_protocol::messages::{
    Advertise, ConsistencySignature, InboundShare, InboundShares, MaskedInput, Quorum,
    QuorumSignature, Reveal, Roster, ShareAck, SharedKeys, Sharers, SurvivorView, Survivors,
};
use sealsum_protocol::policy::Policy;
use sealsum_protocol::roster::SignedEntry;
use sealsum_protocol::server::Stage;
use sealsum_protocol::signature::Signature;
use sealsum_protocol::task::{RoundSpec, Task};
use sealsum_protocol::time::Now;

use crate::START;
use crate::colluder::Colluder;
use crate::device::{Device, Marks, entry_rng};
use crate::registry::status_list;
use crate::task::{policy, spec};
use crate::vectors::update;
use crate::wire::{Said, WireDevice};

/// One member of the roster.
pub enum Member {
    /// Hears bytes through the shipped decoder and client.
    Honest(Box<WireDevice>),
    /// Works for the aggregator.
    Colluding(Box<Colluder>),
}

/// All that one device said.
#[derive(Default)]
pub struct Heard {
    /// Of a colluding device once it is needed; see [`Liar::deal_of`].
    deal: OnceCell<Deal>,
    pub ack: Option<ShareAck>,
    pub chunks: Vec<Vec<u8>>,
    pub masked: Option<MaskedInput>,
    pub alive: Option<Signature>,
    pub reveal: Option<Reveal>,
    /// How many messages and chunks, the entry included.
    pub count: usize,
}

/// What a device dealt, with the hash tree that it signed.
pub struct Deal {
    pub message: SharedKeys,
    pub tree: Tree,
}

/// The aggregator that lies.
pub struct Liar {
    pub spec: RoundSpec,
    /// What follows from the roster of all that entered.
    pub cohort: Cohort,
    pub entries: Vec<SignedEntry>,
    pub status_list: Vec<u8>,
    pub members: Vec<Member>,
    pub heard: Vec<Heard>,
    /// The U2 that each honest device took.
    pub shared: Vec<Option<Bitmap>>,
    pub now: Now,
}

/// A message that devices ask for.
pub trait Shown: Message {
    /// The stage that it answers.
    const STAGE: Stage;
}

impl Shown for Roster {
    const STAGE: Stage = Stage::Roster;
}

impl Shown for InboundShares {
    const STAGE: Stage = Stage::InboundShares;
}

impl Shown for Sharers {
    const STAGE: Stage = Stage::Sharers;
}

impl Shown for Survivors {
    const STAGE: Stage = Stage::Survivors;
}

impl Shown for Quorum {
    const STAGE: Stage = Stage::Quorum;
}

impl Liar {
    /// Devices 0 to n - 1 in the first round of `task`, of which `colluding` work for the liar.
    pub fn new(n: usize, task: Task, colluding: &[usize]) -> Self {
        let devices: Vec<usize> = (0..n).collect();
        Self::among(&devices, &spec(task, 1), colluding, &policy())
    }

    /// These devices, in ascending order. One that is in two rosters of one round, which only a
    /// device that colludes can be, has the same keys in both.
    pub fn among(
        devices: &[usize],
        spec: &RoundSpec,
        colluding: &[usize],
        policy: &Policy,
    ) -> Self {
        let (mut members, mut entries) = (Vec::new(), Vec::new());
        for index in devices {
            let (member, entry) = if colluding.contains(index) {
                let colluder = Colluder::enter(*index, spec);
                let entry = colluder.signed.clone();
                (Member::Colluding(Box::new(colluder)), entry)
            } else {
                let mut marks = Marks::default();
                let (device, entry) = enter(*index, spec, policy, &mut marks).unwrap();
                (Member::Honest(Box::new(device)), entry)
            };
            members.push(member);
            entries.push(entry);
        }
        Self::over(spec, members, entries)
    }

    /// Members that entered before.
    pub fn over(spec: &RoundSpec, members: Vec<Member>, entries: Vec<SignedEntry>) -> Self {
        let plain = entries.iter().map(|signed| signed.entry.clone()).collect();
        let cohort = Cohort::new(spec, plain, 0).unwrap();
        let n = members.len();
        let heard = (0..n).map(|_| Heard { count: 1, ..Heard::default() }).collect();
        let (status_list, shared) = (status_list(1, &[]), vec![None; n]);
        let spec = spec.clone();
        Self { spec, cohort, entries, status_list, members, heard, shared, now: START }
    }

    pub fn n(&self) -> usize {
        self.members.len()
    }

    /// A set of places of the roster.
    pub fn set(&self, places: impl IntoIterator<Item = usize>) -> Bitmap {
        Bitmap::of(self.n(), places)
    }

    /// All places.
    pub fn everybody(&self) -> Bitmap {
        self.set(0..self.n())
    }

    /// All places in the order of the ring, from device 0 on.
    pub fn ring(&self) -> Vec<usize> {
        let graph = &self.cohort.graph;
        let mut ring = vec![0];
        while ring.len() < self.n() {
            let last = ring[ring.len() - 1];
            let next =
                self.cohort.neighbours(last).find(|i| graph.share_position(last, *i) == Some(1));
            ring.push(next.expect("a ring"));
        }
        ring
    }

    /// The places of devices that do not collude.
    pub fn honest(&self) -> Vec<usize> {
        (0..self.n()).filter(|index| matches!(self.members[*index], Member::Honest(_))).collect()
    }

    /// A device that does not collude.
    pub fn device(&mut self, index: usize) -> &mut WireDevice {
        match &mut self.members[index] {
            Member::Honest(device) => device,
            Member::Colluding(_) => panic!("device {index} colludes"),
        }
    }

    /// A device that does.
    pub fn colluder(&self, index: usize) -> &Colluder {
        match &self.members[index] {
            Member::Colluding(colluder) => colluder,
            Member::Honest(_) => panic!("device {index} is honest"),
        }
    }

    /// Tells one honest device one message, and keeps what it says.
    ///
    /// # Errors
    /// The refusal.
    pub fn tell<M: Shown>(&mut self, index: usize, message: &M) -> Result<(), Refusal> {
        let told = self.tell_bytes(index, M::STAGE, &message.to_bytes());
        if told.is_ok() && M::STAGE == Stage::Sharers {
            // Every message of this stage is a bitmap.
            let bytes = message.to_bytes();
            self.shared[index] = Sharers::from_bytes(&bytes).ok().map(|sharers| sharers.shared);
        }
        told
    }

    /// The same with bytes that may be no message.
    ///
    /// # Errors
    /// The refusal.
    pub fn tell_bytes(&mut self, index: usize, stage: Stage, bytes: &[u8]) -> Result<(), Refusal> {
        let now = self.now;
        let said = self.device(index).hear(stage, bytes, now)?;
        said.into_iter().for_each(|said| self.hear(index, said));
        Ok(())
    }

    /// Tells each honest device that waits for it a message of its own; who refused, and by what.
    pub fn tell_each<M: Shown>(
        &mut self,
        message: impl Fn(&Self, usize) -> M,
    ) -> BTreeMap<usize, Guard> {
        let mut refused = BTreeMap::new();
        for index in self.honest() {
            if self.device(index).awaits() != Some(M::STAGE) {
                continue;
            }
            if let Err(refusal) = self.tell(index, &message(self, index)) {
                refused.insert(index, refusal.guard);
            }
        }
        refused
    }

    fn hear(&mut self, index: usize, said: Said) {
        self.heard[index].count += 1;
        let heard = &mut self.heard[index];
        match said {
            Said::Advertise(bytes) => {
                self.entries[index] = Advertise::from_bytes(&bytes).unwrap().signed;
            }
            Said::Shares(bytes) => {
                let message = SharedKeys::from_bytes(&bytes).unwrap();
                self.take_deal(index, message);
            }
            Said::Ack(bytes) => heard.ack = Some(ShareAck::from_bytes(&bytes).unwrap()),
            Said::Chunk { bytes, .. } => heard.chunks.push(bytes),
            Said::Masked(bytes) => heard.masked = Some(MaskedInput::from_bytes(&bytes).unwrap()),
            Said::Consistency(bytes) => {
                heard.alive = Some(ConsistencySignature::from_bytes(&bytes).unwrap().signature);
            }
            Said::Reveal(bytes) => heard.reveal = Some(Reveal::from_bytes(&bytes).unwrap()),
        }
    }

    /// Takes a deal as if the device had dealt it; a colluding one may deal again.
    pub fn take_deal(&mut self, index: usize, message: SharedKeys) {
        self.heard[index].deal = OnceCell::from(self.signed_deal(index, message));
    }

    fn signed_deal(&self, index: usize, message: SharedKeys) -> Deal {
        let leaves = self.cohort.neighbours(index).zip(&message.shares);
        let leaves = leaves.map(|(holder, dealt)| self.cohort.transcript.deal_leaf(holder, dealt));
        let tree = Tree::new(leaves.collect());
        Deal { message, tree }
    }

    /// What a device dealt. A colluding one deals as an honest one does, unless it dealt before;
    /// colluding holders know all its secrets and get nothing.
    pub fn deal_of(&self, index: usize) -> Option<&Deal> {
        let deal = &self.heard[index].deal;
        match &self.members[index] {
            Member::Honest(_) => deal.get(),
            Member::Colluding(colluder) => {
                let is_honest = |holder: usize| matches!(self.members[holder], Member::Honest(_));
                let deal_now = || colluder.deal_to(&self.cohort, is_honest);
                Some(deal.get_or_init(|| self.signed_deal(index, deal_now())))
            }
        }
    }
}

/// What it can say.
impl Liar {
    /// All that entered.
    pub fn roster(&self) -> Roster {
        Roster { entries: self.entries.clone(), status_list: self.status_list.clone() }
    }

    /// What all neighbours dealt to a device.
    pub fn inbound(&self, holder: usize) -> InboundShares {
        self.inbound_from(holder, &self.everybody())
    }

    /// The same, of these dealers only.
    pub fn inbound_from(&self, holder: usize, dealers: &Bitmap) -> InboundShares {
        let dealt = |dealer: usize| {
            let Deal { message, tree } = self.deal_of(dealer)?;
            let place = self.cohort.neighbours(dealer).position(|index| index == holder)?;
            Some(InboundShare {
                dealer: dealer as u16,
                dealer_commitment: message.self_mask_commitment,
                dealt: message.shares[place].clone(),
                path: tree.path(place)?,
                signature: message.signature,
            })
        };
        let neighbours = self.cohort.neighbours_in(holder, dealers);
        InboundShares { shares: neighbours.filter_map(dealt).collect() }
    }

    /// U2.
    pub fn sharers(&self, shared: &Bitmap) -> Sharers {
        Sharers { shared: shared.clone() }
    }

    /// A and D, with the tau of each neighbour in A: what the neighbour said, or, if it colludes,
    /// one over the U2 that the device was told.
    pub fn survivors(&self, to: usize, survivors: &Bitmap, lost: &Bitmap) -> Survivors {
        let told = self.shared[to].clone().unwrap_or_else(|| self.everybody());
        let view = |neighbour: usize| {
            let tau = match &self.members[neighbour] {
                Member::Honest(_) => self.heard[neighbour].masked.clone()?,
                Member::Colluding(colluder) => colluder.masked_input(&self.cohort, &told, &[]),
            };
            let (device, root, signature) = (neighbour as u16, tau.root, tau.signature);
            Some(SurvivorView { device, root, signature })
        };
        let neighbours = self.cohort.neighbours_in(to, survivors);
        let views = neighbours.filter_map(view).collect();
        Survivors { survivors: survivors.clone(), lost: lost.clone(), views }
    }

    /// All signatures over these sets: those that were said, and those of the colluding.
    pub fn quorum(&self, shared: &Bitmap, survivors: &Bitmap, lost: &Bitmap) -> Quorum {
        let string = self.cohort.transcript.with_sharers(shared).alive_string(survivors, lost);
        let signed = |index: usize| match &self.members[index] {
            Member::Colluding(colluder) => {
                Some(colluder.alive(&self.cohort, [shared, survivors, lost]))
            }
            Member::Honest(_) => {
                let key = &self.cohort.entries[index].signing_key;
                self.heard[index].alive.filter(|signature| key.verifies(&string, signature))
            }
        };
        let signature = |index: usize| {
            Some(QuorumSignature { device: index as u16, signature: signed(index)? })
        };
        Quorum { signatures: (0..self.n()).filter_map(signature).collect() }
    }

    /// The honest course up to a stage, to everybody: after it each honest device awaits `stage`.
    pub fn honestly_until(&mut self, stage: Stage) {
        let (all, none) = (self.everybody(), self.set([]));
        if stage > Stage::Roster {
            assert!(self.tell_each(|liar, _| liar.roster()).is_empty());
        }
        if stage > Stage::InboundShares {
            assert!(self.tell_each(Self::inbound).is_empty());
        }
        if stage > Stage::Sharers {
            assert!(self.tell_each(|liar, _| liar.sharers(&all)).is_empty());
        }
        if stage > Stage::Survivors {
            assert!(self.tell_each(|liar, to| liar.survivors(to, &all, &none)).is_empty());
        }
    }

    /// Tells a device that refused every message of an honest round that could still come. Says
    /// whether it stayed silent.
    pub fn stays_silent(&mut self, index: usize) -> bool {
        let (all, none) = (self.everybody(), self.set([]));
        let before = self.heard[index].count;
        let rest = [
            (Stage::Roster, self.roster().to_bytes()),
            (Stage::InboundShares, self.inbound(index).to_bytes()),
            (Stage::Sharers, self.sharers(&all).to_bytes()),
            (Stage::Survivors, self.survivors(index, &all, &none).to_bytes()),
            (Stage::Quorum, self.quorum(&all, &all, &none).to_bytes()),
        ];
        let heard = rest.iter().all(|(stage, bytes)| self.tell_bytes(index, *stage, bytes).is_ok());
        heard && self.heard[index].count == before && self.device(index).awaits().is_none()
    }
}

/// An honest device's entry into a round, if its marks and its policy let it.
///
/// # Errors
/// The guard that kept it out.
pub fn enter(
    index: usize,
    spec: &RoundSpec,
    policy: &Policy,
    marks: &mut Marks,
) -> Result<(WireDevice, SignedEntry), Refusal> {
    let coordinates = spec.signed_task.task.coordinates as usize;
    let (device, update) = (Device::new(index), update(index, coordinates));
    let (device, said) =
        WireDevice::enter(device, spec.clone(), policy, marks, update, START, entry_rng(index))?;
    let Said::Advertise(bytes) = said else { panic!("no entry") };
    Ok((device, Advertise::from_bytes(&bytes).unwrap().signed))
}

/// The bytes of a message, changed.
pub fn changed(message: &impl Message, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = message.to_bytes();
    change(&mut bytes);
    bytes
}
