//! Lies that a device can tell the aggregator, one kind for each that the protocol names, and some
//! that it does not.

use rand_chacha::rand_core::Rng as _;
use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::channel::{self, OwnKeys, Side};
use sealsum_protocol::client::{Seat, Uploading};
use sealsum_protocol::error::{Error, Refusal};
use sealsum_protocol::guard::Guard;
use sealsum_protocol::ids::Hash;
use sealsum_protocol::merkle;
use sealsum_protocol::messages::{
    Advertise, ConsistencySignature, DealtShare, MaskedInput, Reveal, RevealedSecret, ShareAck,
    SharedKeys,
};
use sealsum_protocol::scalar::SecretScalar;
use sealsum_protocol::shamir::{self, Share};
use sealsum_protocol::signature::Signature;
use sealsum_protocol::transcript::{SecretKind, chunk_leaf};

use crate::conduct::{Floor, Onward, send_chunks};
use crate::device::{Device, DeviceError, EntrySecrets};

/// One kind of lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// An entry that its key did not sign.
    EntrySignature,
    /// Shares under a signature that is not its own.
    DealSignature,
    /// Ciphertexts that nobody can open, under a good signature.
    GarbageCiphertexts,
    /// Shares of another secret than the one it commits to.
    WrongSecret,
    /// Calls the shares of all others bad.
    Slander,
    /// Sends another message after each that was taken.
    DifferentResend,
    /// Messages of steps that have not begun, or are over.
    OutOfStep,
    /// Many requests at each step, senseless ones among them.
    Flood,
    /// A chunk that is too short, and one too many.
    ChunkLength,
    /// Signs another root than that of its chunks.
    WrongRoot,
    /// A signature with its masked input that is not its own.
    MaskedSignature,
    /// Counts itself thrice in the canary word.
    Canary,
    /// A signature on other survivors.
    SurvivorSignature,
    /// Stays connected and signs nothing, so that everybody waits.
    Silence,
    /// Shares that are not those that were dealt to it.
    WrongShares,
}

/// Senseless requests of a flood, at each step.
const FLOOD: usize = 40;

impl Lie {
    /// All.
    pub const ALL: [Lie; 15] = [
        Lie::EntrySignature,
        Lie::DealSignature,
        Lie::GarbageCiphertexts,
        Lie::WrongSecret,
        Lie::Slander,
        Lie::DifferentResend,
        Lie::OutOfStep,
        Lie::Flood,
        Lie::ChunkLength,
        Lie::WrongRoot,
        Lie::MaskedSignature,
        Lie::Canary,
        Lie::SurvivorSignature,
        Lie::Silence,
        Lie::WrongShares,
    ];

    /// In the lines of the tool.
    pub fn describe(self) -> &'static str {
        match self {
            Lie::EntrySignature => "bad signature on the entry",
            Lie::DealSignature => "bad signature on the shares",
            Lie::GarbageCiphertexts => "garbage ciphertexts",
            Lie::WrongSecret => "shares of a wrong secret",
            Lie::Slander => "slandering acknowledgements",
            Lie::DifferentResend => "different resends",
            Lie::OutOfStep => "out-of-step messages",
            Lie::Flood => "flood of requests",
            Lie::ChunkLength => "wrong chunk length",
            Lie::WrongRoot => "root that does not match",
            Lie::MaskedSignature => "bad signature on the upload",
            Lie::Canary => "canary word + 2",
            Lie::SurvivorSignature => "bad signature on the survivors",
            Lie::Silence => "silence after the upload",
            Lie::WrongShares => "wrong shares revealed",
        }
    }

    pub(crate) fn enter(
        self,
        mut floor: Floor<'_>,
        mut message: Advertise,
    ) -> Result<Onward, DeviceError> {
        if self == Lie::EntrySignature {
            message.signed.signature[9] ^= 1;
            floor.try_on("advertise", &message)?;
            return Ok(Onward::Leaves);
        }
        self.flood(&mut floor)?;
        floor.send("advertise", &message)
    }

    pub(crate) fn deal(
        self,
        mut floor: Floor<'_>,
        seat: &Seat,
        mut message: SharedKeys,
    ) -> Result<Onward, DeviceError> {
        self.flood(&mut floor)?;
        match self {
            Lie::OutOfStep => too_early(&mut floor)?,
            Lie::DealSignature => {
                spoil(&mut message.signature);
                floor.try_on("shares", &message)?;
                return Ok(Onward::Leaves);
            }
            Lie::GarbageCiphertexts => {
                let rng = floor.device.rng();
                message.shares.iter_mut().for_each(|dealt| rng.fill_bytes(&mut dealt.sealed));
                sign_deal(seat, &floor.device.entry_secrets(), &mut message);
            }
            Lie::WrongSecret => deal_another_secret(floor.device, seat, &mut message)?,
            _ => {}
        }
        floor.send("shares", &message)?;
        if self == Lie::DifferentResend {
            spoil(&mut message.signature);
            floor.try_on("shares", &message)?;
        }
        Ok(Onward::Goes)
    }

    pub(crate) fn acknowledge(
        self,
        mut floor: Floor<'_>,
        mut message: ShareAck,
    ) -> Result<Onward, DeviceError> {
        self.flood(&mut floor)?;
        let none = ShareAck { good: Bitmap::empty(message.good.len()) };
        if self == Lie::Slander {
            message = none.clone();
        }
        floor.send("acks", &message)?;
        if self == Lie::DifferentResend {
            floor.try_on("acks", &none)?;
        }
        // Nobody holds shares of it, so the set that shared will be without it.
        Ok(if self == Lie::GarbageCiphertexts { Onward::Leaves } else { Onward::Goes })
    }

    pub(crate) fn upload(
        self,
        mut floor: Floor<'_>,
        shared: &Bitmap,
        uploading: &mut Uploading,
    ) -> Result<Onward, DeviceError> {
        self.flood(&mut floor)?;
        if self == Lie::ChunkLength {
            let chunk = uploading.chunk(0);
            floor.try_chunk(0, &chunk[..chunk.len() - 1])?;
            floor.try_chunk(uploading.chunks(), &chunk)?;
            return Ok(Onward::Leaves);
        }
        if self == Lie::Canary {
            return count_thrice(&mut floor, shared, uploading);
        }
        send_chunks(&mut floor, uploading)?;
        let mut message = uploading.masked_input();
        match self {
            Lie::WrongRoot => {
                let root = merkle::root(vec![message.root]);
                message = signed(floor.device, shared, uploading, root);
            }
            Lie::MaskedSignature => spoil(&mut message.signature),
            _ => return floor.send("masked", &message),
        }
        floor.try_on("masked", &message)?;
        Ok(Onward::Leaves)
    }

    pub(crate) fn sign(
        self,
        mut floor: Floor<'_>,
        mut message: ConsistencySignature,
    ) -> Result<Onward, DeviceError> {
        self.flood(&mut floor)?;
        match self {
            Lie::Silence => return Ok(Onward::Sulks),
            Lie::OutOfStep => floor.try_chunk(0, &[0; 48])?,
            Lie::SurvivorSignature => {
                spoil(&mut message.signature);
                floor.try_on("consistency", &message)?;
                return Ok(Onward::Leaves);
            }
            _ => {}
        }
        floor.send("consistency", &message)?;
        if self == Lie::DifferentResend {
            spoil(&mut message.signature);
            floor.try_on("consistency", &message)?;
        }
        Ok(Onward::Goes)
    }

    pub(crate) fn reveal(
        self,
        mut floor: Floor<'_>,
        mut message: Reveal,
    ) -> Result<Onward, DeviceError> {
        self.flood(&mut floor)?;
        if self == Lie::WrongShares {
            for revealed in &mut message.shares {
                let other = random_share(floor.device)?;
                revealed.secret = match revealed.secret {
                    RevealedSecret::SelfMask(_) => RevealedSecret::SelfMask(other),
                    RevealedSecret::MaskKey(_) => RevealedSecret::MaskKey(other),
                };
            }
        }
        floor.send("reveal", &message)
    }

    /// Each request must be answered, and none with a fault of the aggregator's own.
    fn flood(self, floor: &mut Floor<'_>) -> Result<(), DeviceError> {
        if self != Lie::Flood {
            return Ok(());
        }
        let shares = format!("/v1/rounds/{}/shares", floor.round);
        for _ in 0..FLOOD {
            for answer in [
                floor.device.get("/v1/rounds/open")?,
                floor.device.get("/v1/nothing")?,
                floor.device.post(&shares, b"not a message")?,
            ] {
                if answer.status >= 500 {
                    floor.told.push(answer.code());
                }
            }
        }
        Ok(())
    }
}

fn spoil(signature: &mut Signature) {
    signature.0[3] ^= 1;
}

/// What no device may say while shares are dealt.
fn too_early(floor: &mut Floor<'_>) -> Result<(), DeviceError> {
    floor.try_on("reveal", &Reveal { shares: Vec::new() })?;
    floor.try_on("consistency", &ConsistencySignature { signature: Signature([0; 64]) })?;
    floor.try_chunk(0, &[0; 48])
}

fn sign_deal(seat: &Seat, secrets: &EntrySecrets, message: &mut SharedKeys) {
    let (cohort, own) = (seat.cohort(), seat.own());
    let dealt = cohort.neighbours(own).zip(&message.shares);
    let leaves = dealt.map(|(holder, dealt)| cohort.transcript.deal_leaf(holder, dealt)).collect();
    let root = merkle::root(leaves);
    let string = cohort.transcript.deal_string(own, &message.self_mask_commitment, &root);
    message.signature = secrets.signing.sign(&string);
}

/// Shares that open and match their commitments, of a secret that is not the one committed to.
fn deal_another_secret(
    device: &mut Device,
    seat: &Seat,
    message: &mut SharedKeys,
) -> Result<(), DeviceError> {
    let secrets = device.entry_secrets();
    let secret = SecretScalar::random(device.rng());
    let (cohort, own) = (seat.cohort(), seat.own());
    let holders: Vec<usize> = cohort.neighbours(own).collect();
    let points: Vec<u16> =
        holders.iter().filter_map(|holder| cohort.graph.share_position(own, *holder)).collect();
    let split = |secret, device: &mut Device| {
        shamir::split(secret, cohort.parameters.t, &points, device.rng()).map_err(unsplit)
    };
    let (of_mask, of_self) = (split(&secrets.mask, device)?, split(&secret, device)?);
    let pairs = of_mask.iter().zip(&of_self);
    let dealt = holders.iter().zip(pairs);
    message.shares = dealt
        .map(|(holder, (mask, own_mask))| {
            let pair = [*mask.as_bytes(), *own_mask.as_bytes()];
            seal(device, seat, &secrets, *holder, pair, message)
        })
        .collect::<Result<_, _>>()?;
    sign_deal(seat, &secrets, message);
    Ok(())
}

fn seal(
    device: &Device,
    seat: &Seat,
    secrets: &EntrySecrets,
    holder: usize,
    [mask_key, self_mask]: [[u8; 32]; 2],
    message: &SharedKeys,
) -> Result<DealtShare, DeviceError> {
    let (cohort, own) = (seat.cohort(), seat.own());
    let commit =
        |kind, share: &[u8; 32]| cohort.transcript.share_commitment(kind, own, holder, share);
    let mask_key_commitment = commit(SecretKind::MaskKey, &mask_key);
    let self_mask_commitment = commit(SecretKind::SelfMask, &self_mask);
    let side = |index: usize| Side { index, entry: &cohort.entries[index] };
    let keys = OwnKeys { identity: device.static_key(), channel: &secrets.channel };
    let channel = channel::establish(&cohort.transcript, side(own), keys, side(holder));
    let (sender, _) = channel.map_err(unsplit)?;
    let commitment = &message.self_mask_commitment;
    let data =
        cohort.transcript.share_data(commitment, &mask_key_commitment, &self_mask_commitment);
    let mut plain = [0; 64];
    plain[..32].copy_from_slice(&mask_key);
    plain[32..].copy_from_slice(&self_mask);
    let sealed = sender.seal(&plain, &data);
    Ok(DealtShare { mask_key_commitment, self_mask_commitment, sealed })
}

fn unsplit(error: impl std::fmt::Display) -> DeviceError {
    let refusal = Refusal::new(Guard::Parameters, error.to_string());
    DeviceError::Refused { what: "lie", error: Error::Refusal(refusal) }
}

fn random_share(device: &mut Device) -> Result<Share, DeviceError> {
    let scalar = SecretScalar::random(device.rng());
    let share = Share::from_canonical_bytes(scalar.as_bytes());
    share.ok_or_else(|| unsplit("a scalar that is no share"))
}

fn signed(device: &Device, shared: &Bitmap, uploading: &Uploading, root: Hash) -> MaskedInput {
    let transcript = uploading.seat().cohort().transcript.with_sharers(shared);
    let signature = device.entry_secrets().signing.sign(&transcript.masked_string(&root));
    MaskedInput { root, signature }
}

/// The canary words are masked like all others, so adding two to one adds two to the count.
fn count_thrice(
    floor: &mut Floor<'_>,
    shared: &Bitmap,
    uploading: &mut Uploading,
) -> Result<Onward, DeviceError> {
    let mut leaves = Vec::new();
    for index in 0..uploading.chunks() {
        let mut chunk = uploading.chunk(index);
        if index == 0 {
            add_two(&mut chunk);
        }
        leaves.push(chunk_leaf(index, &chunk));
        floor.device.send_chunk(floor.round, index, &chunk)?;
    }
    let message = signed(floor.device, shared, uploading, merkle::root(leaves));
    floor.send("masked", &message)
}

/// To the word in front.
fn add_two(chunk: &mut [u8]) {
    if let Some(word) = chunk.first_chunk_mut::<8>() {
        *word = u64::from_le_bytes(*word).wrapping_add(2).to_le_bytes();
    }
}
