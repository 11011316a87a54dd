//! How a device behaves in a round.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::client::{Sharing, Uploading};
use sealsum_protocol::codec::Message;
use sealsum_protocol::ids::RoundId;
use sealsum_protocol::messages::{Advertise, ConsistencySignature, Reveal, ShareAck, SharedKeys};

use crate::device::{Device, DeviceError};
use crate::lies::Lie;

/// How a device behaves in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As the protocol says.
    Honest,
    /// As the protocol says, and then its power fails.
    Vanishes(After),
    /// It lies.
    Lies(Lie),
}

/// The last thing that a device does before it vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum After {
    /// It hears of the round.
    Hearing,
    /// It deals shares.
    Sharing,
    /// It acknowledges those of the others.
    Acknowledging,
    /// It uploads its masked vector.
    Uploading,
    /// It signs the survivors.
    Signing,
}

/// Whether a device goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// It does.
    Goes,
    /// It cuts its connection.
    Leaves,
    /// It stays connected and says nothing more.
    Sulks,
}

impl After {
    /// All, in the order of the round.
    pub const ALL: [After; 5] =
        [After::Hearing, After::Sharing, After::Acknowledging, After::Uploading, After::Signing];

    /// As in "3 of 12 lost …".
    pub fn describe(self) -> &'static str {
        match self {
            After::Hearing => "before the roster",
            After::Sharing => "after their shares",
            After::Acknowledging => "after acknowledging",
            After::Uploading => "after the upload",
            After::Signing => "after signing",
        }
    }
}

impl Conduct {
    /// Whether it vanishes once it has done this.
    pub fn vanishes(self, after: After) -> bool {
        self == Conduct::Vanishes(after)
    }

    /// Whether it does not come into the roster.
    pub fn stays_out(self) -> bool {
        self.vanishes(After::Hearing) || self == Conduct::Lies(Lie::EntrySignature)
    }

    fn lie(self) -> Option<Lie> {
        match self {
            Conduct::Lies(lie) => Some(lie),
            Conduct::Honest | Conduct::Vanishes(_) => None,
        }
    }
}

/// Where a device speaks from, and what it was told in answer to its lies.
pub struct Floor<'a> {
    /// The device.
    pub device: &'a mut Device,
    /// The round.
    pub round: RoundId,
    /// Codes of the answers, in order; `accepted` for what was not refused.
    pub told: &'a mut Vec<String>,
}

impl Floor<'_> {
    /// Sends what the aggregator is to take.
    ///
    /// # Errors
    /// When it does not.
    pub fn send(&mut self, what: &str, message: &impl Message) -> Result<Onward, DeviceError> {
        self.device.send(self.round, what, message).map(|()| Onward::Goes)
    }

    /// Sends what the aggregator is to refuse, and notes what it answers.
    ///
    /// # Errors
    /// When it gives no answer.
    pub fn try_on(&mut self, what: &str, message: &impl Message) -> Result<(), DeviceError> {
        let sent = self.device.send(self.round, what, message);
        self.note(sent)
    }

    /// Sends a chunk that the aggregator is to refuse, and notes what it answers.
    ///
    /// # Errors
    /// When it gives no answer.
    pub fn try_chunk(&mut self, index: usize, chunk: &[u8]) -> Result<(), DeviceError> {
        let sent = self.device.send_chunk(self.round, index, chunk);
        self.note(sent)
    }

    fn note(&mut self, sent: Result<(), DeviceError>) -> Result<(), DeviceError> {
        match sent {
            Ok(()) => self.told.push("accepted".to_owned()),
            Err(DeviceError::Answered { code, .. }) => self.told.push(code),
            Err(other) => return Err(other),
        }
        Ok(())
    }
}

impl Conduct {
    /// Enters.
    ///
    /// # Errors
    /// When an honest message is not taken, or a lie not answered.
    pub fn enter(self, floor: Floor<'_>, message: Advertise) -> Result<Onward, DeviceError> {
        match self.lie() {
            Some(lie) => lie.enter(floor, message),
            None => honest(floor, "advertise", &message),
        }
    }

    /// Deals.
    ///
    /// # Errors
    /// As [`Conduct::enter`].
    pub fn deal(
        self,
        floor: Floor<'_>,
        sharing: &Sharing,
        message: SharedKeys,
    ) -> Result<Onward, DeviceError> {
        match self.lie() {
            Some(lie) => lie.deal(floor, sharing.seat(), message),
            None => honest(floor, "shares", &message),
        }
    }

    /// Acknowledges.
    ///
    /// # Errors
    /// As [`Conduct::enter`].
    pub fn acknowledge(self, floor: Floor<'_>, message: ShareAck) -> Result<Onward, DeviceError> {
        match self.lie() {
            Some(lie) => lie.acknowledge(floor, message),
            None => honest(floor, "acks", &message),
        }
    }

    /// Uploads.
    ///
    /// # Errors
    /// As [`Conduct::enter`].
    pub fn upload(
        self,
        mut floor: Floor<'_>,
        shared: &Bitmap,
        uploading: &mut Uploading,
    ) -> Result<Onward, DeviceError> {
        if let Some(lie) = self.lie() {
            return lie.upload(floor, shared, uploading);
        }
        send_chunks(&mut floor, uploading)?;
        floor.send("masked", &uploading.masked_input())
    }

    /// Signs the survivors.
    ///
    /// # Errors
    /// As [`Conduct::enter`].
    pub fn sign(
        self,
        floor: Floor<'_>,
        message: ConsistencySignature,
    ) -> Result<Onward, DeviceError> {
        match self.lie() {
            Some(lie) => lie.sign(floor, message),
            None => honest(floor, "consistency", &message),
        }
    }

    /// Reveals.
    ///
    /// # Errors
    /// As [`Conduct::enter`].
    pub fn reveal(self, floor: Floor<'_>, message: Reveal) -> Result<Onward, DeviceError> {
        match self.lie() {
            Some(lie) => lie.reveal(floor, message),
            None => honest(floor, "reveal", &message),
        }
    }
}

fn honest(mut floor: Floor<'_>, what: &str, message: &impl Message) -> Result<Onward, DeviceError> {
    floor.send(what, message)
}

/// Sends each chunk as it is.
///
/// # Errors
/// When one is not taken.
pub fn send_chunks(floor: &mut Floor<'_>, uploading: &mut Uploading) -> Result<(), DeviceError> {
    for index in 0..uploading.chunks() {
        let chunk = uploading.chunk(index);
        floor.device.send_chunk(floor.round, index, &chunk)?;
    }
    Ok(())
}
