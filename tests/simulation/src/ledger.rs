//! What happened, as somebody knows it who sees every device, every message and every secret.
//!
//! The ledger is filled from the bytes that devices hear and say, and is all that the invariants
//! look at.

use std::collections::{BTreeMap, BTreeSet};

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::codec::Message;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::messages::{Reveal, RevealedSecret, Roster, Sharers, Survivors};
use sealsum_protocol::server::Stage;
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::transcript::{SecretKind, SharedTranscript, Transcript};
use sealsum_test_fleet::Said;

use crate::program::Ending;
use crate::world::{Floors, World};

/// All that happened.
pub struct Ledger {
    /// Each entry of a device into a round.
    pub views: Vec<View>,
    /// Each announcement with a roster that a device dealt shares under.
    pub groups: Vec<Group>,
    /// Who signed which string over survivors, by group.
    pub signatures: BTreeMap<(usize, Vec<u8>), Signers>,
    /// How rounds ended at the aggregator, each time that one did.
    pub endings: Vec<Ended>,
    /// Facts that the aggregator wrote down twice, differently.
    pub contradictions: Vec<String>,
    /// What devices refused of an aggregator.
    pub refusals: Vec<Refused>,
    /// Who is late, and with what.
    pub overdue: Vec<String>,
    /// Counts what was added, so that nothing is checked twice.
    pub version: u64,
    world: World,
}

/// One entry of a device into a round, and what it knew and said there.
pub struct View {
    /// The device.
    pub device: usize,
    /// Whether it does what it should.
    pub honest: bool,
    /// The number of the round.
    pub round: u64,
    /// The round as it was announced to the device.
    pub spec: RoundSpec,
    /// Where it dealt shares.
    pub group: Option<usize>,
    /// U2, of a device that masked its vector.
    pub shared: Option<Bitmap>,
    /// A and D, of a device that signed them.
    pub signed: Option<(Bitmap, Bitmap)>,
    /// Dealers, by roster index, with the kind of the share that it revealed of each.
    pub revealed: Option<Vec<(usize, SecretKind)>>,
    /// How often it said each kind of message.
    pub said: BTreeMap<&'static str, usize>,
    /// Why it is out of the round.
    pub refused: Option<Guard>,
    /// Whether it said anything after it refused.
    pub spoke_after_refusal: bool,
}

/// Devices that were shown one announcement and one roster.
pub struct Group {
    /// What follows from them.
    pub cohort: Cohort,
    /// The device at each place of the roster.
    pub devices: Vec<usize>,
    /// Whether the device there is honest.
    pub honest: Vec<bool>,
    /// What its honest devices demand.
    pub floors: Floors,
}

/// A string over survivors, and who signed it.
pub struct Signers {
    /// U2.
    pub shared: Bitmap,
    /// A.
    pub survivors: Bitmap,
    /// D.
    pub lost: Bitmap,
    /// By roster index.
    pub who: BTreeSet<usize>,
}

/// A round that ended.
pub struct Ended {
    /// Its number.
    pub round: u64,
    /// How.
    pub ending: Ending,
    /// Devices of its roster.
    pub roster: usize,
    /// Devices that were revoked before the sum was out of the aggregator's hands.
    pub revoked: BTreeSet<usize>,
}

/// A refusal of a device.
pub struct Refused {
    /// The device.
    pub device: usize,
    /// The round.
    pub round: u64,
    /// Why.
    pub guard: Guard,
    /// In words.
    pub detail: String,
}

impl Ledger {
    /// Of a world in which nothing happened yet.
    pub fn of(world: &World) -> Self {
        Self {
            views: Vec::new(),
            groups: Vec::new(),
            signatures: BTreeMap::new(),
            endings: Vec::new(),
            contradictions: Vec::new(),
            refusals: Vec::new(),
            overdue: Vec::new(),
            version: 0,
            world: world.clone(),
        }
    }

    /// A device enters a round. Returns the view's place.
    pub fn enters(&mut self, device: usize, honest: bool, spec: RoundSpec) -> usize {
        self.version += 1;
        self.views.push(View {
            device,
            honest,
            round: spec.number,
            spec,
            group: None,
            shared: None,
            signed: None,
            revealed: None,
            said: BTreeMap::new(),
            refused: None,
            spoke_after_refusal: false,
        });
        self.views.len() - 1
    }

    /// A device refused what it heard.
    pub fn refuses(&mut self, view: usize, guard: Guard, detail: String) {
        self.version += 1;
        let View { device, round, .. } = self.views[view];
        self.views[view].refused = Some(guard);
        self.refusals.push(Refused { device, round, guard, detail });
    }

    /// A device heard `bytes` and said something.
    pub fn says(&mut self, view: usize, stage: Option<Stage>, bytes: &[u8], said: &[Said]) {
        self.version += 1;
        for one in said {
            self.count(view, one);
        }
        let Some(stage) = stage else { return };
        if said.is_empty() {
            return;
        }
        match stage {
            Stage::Roster => self.views[view].group = self.group_of(view, bytes),
            Stage::InboundShares => {}
            Stage::Sharers => {
                self.views[view].shared = Sharers::from_bytes(bytes).ok().map(|m| m.shared);
            }
            Stage::Survivors => self.signs(view, bytes),
            Stage::Quorum => self.reveals(view, said),
        }
    }

    fn count(&mut self, view: usize, said: &Said) {
        let view = &mut self.views[view];
        view.spoke_after_refusal |= view.refused.is_some();
        if !matches!(said, Said::Chunk { .. }) {
            *view.said.entry(name_of(said)).or_default() += 1;
        }
    }

    fn group_of(&mut self, view: usize, bytes: &[u8]) -> Option<usize> {
        let View { spec, .. } = &self.views[view];
        let entries = Roster::from_bytes(bytes).ok()?.entries;
        let entries: Vec<_> = entries.into_iter().map(|signed| signed.entry).collect();
        let transcript = Transcript {
            params_hash: spec.params_hash(),
            roster_root: sealsum_protocol::roster::roster_root(&entries),
        };
        let known = self.groups.iter().position(|group| group.cohort.transcript == transcript);
        known.or_else(|| {
            let devices: Vec<usize> =
                entries.iter().map(|entry| device_of(&entry.device)).collect();
            let cohort = Cohort::new(spec, entries, self.world.corrupt_fleet).ok()?;
            let honest = devices.iter().map(|device| self.world.is_honest(*device)).collect();
            let floors = self.world.floors(devices.len());
            self.groups.push(Group { cohort, devices, honest, floors });
            Some(self.groups.len() - 1)
        })
    }

    fn signs(&mut self, view: usize, bytes: &[u8]) {
        let Ok(Survivors { survivors, lost, .. }) = Survivors::from_bytes(bytes) else { return };
        let View { device, group, shared, .. } = &mut self.views[view];
        let (Some(group), Some(shared)) = (*group, shared.clone()) else { return };
        let device = *device;
        self.views[view].signed = Some((survivors.clone(), lost.clone()));
        self.signed_by(group, device, shared, survivors, lost);
    }

    /// Somebody made a signature over survivors.
    pub fn signed_by(
        &mut self,
        group: usize,
        device: usize,
        shared: Bitmap,
        survivors: Bitmap,
        lost: Bitmap,
    ) {
        let cohort = &self.groups[group].cohort;
        let transcript: SharedTranscript = cohort.transcript.with_sharers(&shared);
        let string = transcript.alive_string(&survivors, &lost);
        let place = self.groups[group].devices.iter().position(|member| *member == device);
        let signers = self.signatures.entry((group, string)).or_insert_with(|| Signers {
            shared,
            survivors,
            lost,
            who: BTreeSet::new(),
        });
        signers.who.extend(place);
    }

    fn reveals(&mut self, view: usize, said: &[Said]) {
        let Some(Said::Reveal(bytes)) = said.first() else { return };
        let Ok(reveal) = Reveal::from_bytes(bytes) else { return };
        let shares = reveal.shares.iter().map(|share| {
            let kind = match share.secret {
                RevealedSecret::SelfMask(_) => SecretKind::SelfMask,
                RevealedSecret::MaskKey(_) => SecretKind::MaskKey,
            };
            (usize::from(share.dealer), kind)
        });
        self.views[view].revealed = Some(shares.collect());
    }

    /// The views of one group.
    pub fn views_of(&self, group: usize) -> impl Iterator<Item = &View> {
        self.views.iter().filter(move |view| view.group == Some(group))
    }
}

impl Group {
    /// The place of a device in the roster.
    pub fn place(&self, device: usize) -> Option<usize> {
        self.devices.iter().position(|member| *member == device)
    }

    /// How many holders of shares of `dealer` work for the aggregator.
    pub fn corrupt_holders(&self, dealer: usize) -> usize {
        self.cohort.neighbours(dealer).filter(|holder| !self.honest[*holder]).count()
    }
}

/// The device that an id names: the fleet numbers its devices in the first eight bytes.
pub fn device_of(id: &sealsum_protocol::ids::DeviceId) -> usize {
    id.0[..8].iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The kind of a message of a device.
pub fn name_of(said: &Said) -> &'static str {
    match said {
        Said::Advertise(_) => "advertise",
        Said::Shares(_) => "shares",
        Said::Ack(_) => "ack",
        Said::Chunk { .. } => "chunk",
        Said::Masked(_) => "masked",
        Said::Consistency(_) => "consistency",
        Said::Reveal(_) => "reveal",
    }
}
