//! A round in which only what is measured is real: every other device enters, deals, signs and
//! reveals by its keys alone, and its masked input is whatever gives the right sum.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::encoding::ChunkWords;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::mask::{Backend, Sign};
use sealsum_protocol::messages::{
    Advertise, ConsistencySignature, MaskedInput, Reveal, RevealedSecret, RevealedShare, ShareAck,
    SharedKeys,
};
use sealsum_protocol::server::{Incoming, Recovery};
use sealsum_protocol::shamir::Share;
use sealsum_protocol::task::{Deadlines, TaskFields};
use sealsum_protocol::transcript;
use sealsum_test_fleet::{Colluder, task};

use crate::clock::thread_cpu;
use crate::obeyed::Obeyed;

/// Both shares that a dealer dealt to a holder: of its mask key, of its self mask.
type Dealt = BTreeMap<(usize, usize), [[u8; 32]; 2]>;

/// What is unmasked, and what it should be.
pub(crate) struct Unmaskable {
    pub(crate) recovery: Recovery,
    /// CPU seconds of taking the last answer and of rebuilding every secret.
    pub(crate) rebuilt_in: f64,
    /// Devices, neighbours of each, shares that rebuild a secret, the lost.
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) t: usize,
    pub(crate) lost: usize,
    /// What every contributor but the first uploads, by chunk.
    pub(crate) common: Vec<Vec<u8>>,
    /// What the first uploads, so that the sum is [`EACH`] times the contributors everywhere.
    pub(crate) first: Vec<Vec<u8>>,
}

/// A coordinate of every device.
pub(crate) const EACH: i64 = 3;

/// Changes a task for `n` devices with vectors of `coordinates` in the packing of 21 bits.
pub(crate) fn adapt(fields: &mut TaskFields, n: usize, coordinates: usize) {
    (fields.coordinates, fields.ring_bits) = (coordinates as u32, 21);
    (fields.clip, fields.scale) = (200.0, 1);
    (fields.min_contributors, fields.dropout_share_permille) = ((n / 2) as u32, 100);
    fields.deadlines_s =
        Deadlines { advertise: 1_000, share: 1_000, mask: 1_000, check: 1_000, unmask: 1_000 };
}

/// A round of `n` devices, one in ten of which is lost before its masked input.
pub(crate) fn unmaskable(n: usize, coordinates: usize, backend: Backend) -> Unmaskable {
    let mut server = Obeyed::open(task(n, |fields| adapt(fields, n, coordinates)));
    let spec = server.round.spec().clone();
    let devices: Vec<Colluder> = (0..n).map(|index| Colluder::enter(index, &spec)).collect();
    for device in &devices {
        let message = Advertise { signed: device.signed.clone() };
        server.receive(device.device.id, Incoming::Advertise(Box::new(message)));
    }
    let dealt = RefCell::new(Dealt::new());
    let deals: Vec<SharedKeys> =
        devices.iter().map(|device| deal(server.cohort(), device, &dealt)).collect();
    for (device, deal) in devices.iter().zip(deals) {
        server.receive(device.device.id, Incoming::Shares(deal));
    }
    for device in &devices {
        let neighbours = server.cohort().neighbours(device.place(server.cohort())).count();
        let good = Bitmap::of(neighbours, 0..neighbours);
        server.receive(device.device.id, Incoming::Ack(ShareAck { good }));
    }
    let is_lost = |index: usize| index % 10 == 5;
    let all = Bitmap::of(n, 0..n);
    let survivors = Bitmap::of(n, (0..n).filter(|index| !is_lost(*index)));
    let lost = Bitmap::of(n, (0..n).filter(|index| is_lost(*index)));
    for index in survivors.iter() {
        let root = Hash([index as u8; 32]);
        let string = server.cohort().transcript.with_sharers(&all).masked_string(&root);
        let message = MaskedInput { root, signature: devices[index].signing.sign(&string) };
        server.receive(devices[index].device.id, Incoming::Masked { message, received_root: root });
    }
    server.pass_deadline();
    for index in survivors.iter() {
        let signature = devices[index].alive(server.cohort(), [&all, &survivors, &lost]);
        let message = ConsistencySignature { signature };
        server.receive(devices[index].device.id, Incoming::Consistency(message));
    }
    let dealt = dealt.into_inner();
    let mut rebuilt_in = 0.0;
    for index in survivors.iter() {
        let reveal = reveal(server.cohort(), index, &dealt, &survivors);
        (rebuilt_in, ()) =
            thread_cpu(|| server.receive(devices[index].device.id, Incoming::Reveal(reveal)));
    }
    let recovery = server.recovery.take().expect("a sum to unmask").with_backend(backend);
    let cohort = server.cohort();
    let (common, first) = uploads(cohort, &devices, [&all, &survivors, &lost], backend);
    let (k, t) = (cohort.parameters.k, cohort.parameters.t);
    Unmaskable { recovery, rebuilt_in, n, k, t, lost: lost.iter().count(), common, first }
}

/// A deal whose shares nobody opens; they are kept instead.
fn deal(cohort: &Cohort, device: &Colluder, dealt: &RefCell<Dealt>) -> SharedKeys {
    let own = device.place(cohort);
    device.deal_with(cohort, &device.mask, &device.self_mask, |holder, piece| {
        piece.opens = false;
        dealt.borrow_mut().insert((own, holder), [piece.mask_key, piece.self_mask]);
    })
}

fn reveal(cohort: &Cohort, holder: usize, dealt: &Dealt, survivors: &Bitmap) -> Reveal {
    let share = |dealer: usize| {
        let [mask_key, self_mask] = dealt[&(dealer, holder)]
            .map(|bytes| Share::from_canonical_bytes(&bytes).expect("canonical"));
        let secret = if survivors.contains(dealer) {
            RevealedSecret::SelfMask(self_mask)
        } else {
            RevealedSecret::MaskKey(mask_key)
        };
        RevealedShare { dealer: dealer as u16, secret }
    };
    Reveal { shares: cohort.neighbours(holder).map(share).collect() }
}

/// The masks as the devices know them, from their own side of each agreement.
fn uploads(
    cohort: &Cohort,
    devices: &[Colluder],
    [all, survivors, lost]: [&Bitmap; 3],
    backend: Backend,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (suite, shared) = (cohort.task.mask_suite, cohort.transcript.with_sharers(all));
    let mut masks = Vec::new();
    for own in survivors.iter() {
        let device = &devices[own];
        masks.push((shared.self_seed(suite, own, &device.self_mask), Sign::Plus));
        let key = transcript::mask_key(&cohort.transcript.params_hash, &device.mask);
        for peer in cohort.neighbours_in(own, lost) {
            let peer_key = (peer, &cohort.entries[peer].mask_key);
            let seed = shared.pair_seed(suite, (own, &key), peer_key).expect("a sound key");
            masks.push((seed, Sign::of_pair(own, peer)));
        }
    }
    let layout = &cohort.layout;
    let chunk = |chunk: usize| {
        let each = vec![EACH; layout.chunk_coordinates(chunk).len()];
        let mut sum: ChunkWords = layout.encode_chunk(chunk, &each);
        let common = layout.to_wire(chunk, &sum);
        backend.apply_all(masks.iter().map(|(seed, sign)| (seed, *sign)), chunk, &mut sum);
        (common, layout.to_wire(chunk, &sum))
    };
    (0..layout.chunks()).map(chunk).unzip()
}
