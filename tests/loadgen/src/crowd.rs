//! Many devices in one round, on a few threads.
//!
//! A step of the round is open to all until each has done it, so the threads take the devices
//! through it one after the other, and through the next step then: no device waits for another
//! that has no thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sealsum_protocol::client::{Acknowledged, Advertised, Checking, Sharing, Signed};
use sealsum_protocol::ids::{DeviceId, RoundId};

use crate::conduct::{After, Conduct, Floor, Onward};
use crate::device::{Device, DeviceError, Home};
use crate::fleet::DAY;
use crate::vector::Vector;

/// Threads for the devices of one round.
const THREADS: usize = 8;
/// Longest silence of a device, but for the time that [`AT_A_TIME`] take.
const SILENCE: Duration = Duration::from_secs(60);
/// Devices whose turn it is, before the others show up.
const AT_A_TIME: usize = 128;

/// Devices that take part in one round after another.
pub struct Crowd {
    members: Vec<Member>,
}

/// How a round ended for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did all that its conduct has it do.
    Done,
    /// It left, or vanished, or fell silent, as its conduct has it.
    Out,
    /// The aggregator, or the device's own check, ended it with this code.
    Refused(String),
    /// Something failed that is no part of the protocol.
    Broken(String),
}

/// How a round was for one device.
#[derive(Clone, Debug)]
pub struct Experience {
    /// How it ended.
    pub ended: Ended,
    /// The codes that its lies were answered with.
    pub told: Vec<String>,
}

/// What a device does in a round, and with what.
#[derive(Clone, Debug)]
pub struct Part {
    /// How it behaves.
    pub conduct: Conduct,
    /// Its vector.
    pub vector: Vector,
}

/// A device within a round.
struct Member {
    device: Device,
    place: Place,
    told: Vec<String>,
}

/// How far it has come.
enum Place {
    Outside,
    Entered(Box<Advertised>),
    Dealt(Sharing),
    Acknowledged(Acknowledged),
    Uploaded(Checking),
    Signed(Signed),
    Ended(Ended),
}

impl Crowd {
    /// Devices `first` and following, certified and connected.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub fn gather(home: &Arc<Home>, first: u32, count: usize) -> Result<Self, DeviceError> {
        let mut seats: Vec<Option<Result<Device, DeviceError>>> = Vec::new();
        seats.resize_with(count, || None);
        each(&mut seats, |index, seat| {
            let number = first.saturating_add(u32::try_from(index).unwrap_or(u32::MAX));
            *seat = Some(Device::new(home, number, DAY));
        });
        let devices: Result<Vec<Device>, DeviceError> = seats.into_iter().flatten().collect();
        let member = |device| Member { device, place: Place::Outside, told: Vec::new() };
        Ok(Self { members: devices?.into_iter().map(member).collect() })
    }

    /// Their ids, by index.
    pub fn ids(&self) -> Vec<DeviceId> {
        self.members.iter().map(|member| member.device.id).collect()
    }

    /// Takes part in a round that is open.
    ///
    /// # Errors
    /// When a device that was lost before cannot connect again.
    pub fn take_part(
        &mut self,
        round: RoundId,
        parts: &[Part],
    ) -> Result<Vec<Experience>, DeviceError> {
        for member in &mut self.members {
            member.device.return_if_lost()?;
            member.place = Place::Outside;
            member.told.clear();
        }
        // The roster closes with the last that enters, so those who stay out come first.
        for outsiders in [true, false] {
            each_in_touch(&mut self.members, |index, member| {
                if parts[index].conduct.stays_out() == outsiders {
                    member.step(round, &parts[index]);
                }
            });
        }
        for _ in 0..STEPS_INSIDE {
            each_in_touch(&mut self.members, |index, member| member.step(round, &parts[index]));
        }
        Ok(self.members.iter().map(Member::experience).collect())
    }
}

/// Deal, acknowledge, upload, sign, reveal.
const STEPS_INSIDE: usize = 5;

impl Member {
    /// Asks for something, unless it is out. Whether it still has a connection shows at its turn.
    fn show_up(&mut self) {
        if !matches!(self.place, Place::Ended(_)) {
            let _ = self.device.get("/v1/rounds/open?wait=0");
        }
    }

    fn step(&mut self, round: RoundId, part: &Part) {
        let place = std::mem::replace(&mut self.place, Place::Ended(Ended::Out));
        self.place = match self.advance(place, round, part) {
            Ok(place) => place,
            Err(error) => Place::Ended(match error.code() {
                Some(code) => Ended::Refused(code.to_owned()),
                None => Ended::Broken(error.to_string()),
            }),
        };
    }

    fn experience(&self) -> Experience {
        let ended = match &self.place {
            Place::Ended(ended) => ended.clone(),
            _ => Ended::Broken("it stopped in the middle of the round".to_owned()),
        };
        Experience { ended, told: self.told.clone() }
    }

    fn advance(&mut self, place: Place, round: RoundId, part: &Part) -> Result<Place, DeviceError> {
        let conduct = part.conduct;
        let (onward, next, after) = match place {
            Place::Outside => self.enter(round, conduct)?,
            Place::Entered(entered) => self.deal(round, conduct, *entered)?,
            Place::Dealt(sharing) => self.acknowledge(round, conduct, sharing)?,
            Place::Acknowledged(acknowledged) => self.upload(round, part, acknowledged)?,
            Place::Uploaded(checking) => self.sign(round, conduct, checking)?,
            Place::Signed(signed) => {
                let message = self.device.prepare_reveal(round, signed)?;
                conduct.reveal(self.floor(round), message)?;
                return Ok(Place::Ended(Ended::Done));
            }
            ended @ Place::Ended(_) => return Ok(ended),
        };
        if onward == Onward::Leaves || conduct.vanishes(after) {
            self.device.disconnect();
        }
        let goes = onward == Onward::Goes && !conduct.vanishes(after);
        Ok(if goes { next } else { Place::Ended(Ended::Out) })
    }

    fn enter(&mut self, round: RoundId, conduct: Conduct) -> Result<Done, DeviceError> {
        let open = self.device.open_rounds()?;
        let spec = open.into_iter().find(|spec| spec.round_id() == round);
        let spec = spec.ok_or_else(|| not_open(round))?;
        if conduct.vanishes(After::Hearing) {
            return Ok((Onward::Leaves, Place::Ended(Ended::Out), After::Hearing));
        }
        let (entered, message) = self.device.prepare_entry_to(spec)?;
        let onward = conduct.enter(self.floor(round), message)?;
        Ok((onward, Place::Entered(Box::new(entered)), After::Hearing))
    }

    fn deal(
        &mut self,
        round: RoundId,
        conduct: Conduct,
        entered: Advertised,
    ) -> Result<Done, DeviceError> {
        let (sharing, message) = self.device.prepare_deal(round, entered)?;
        let onward = conduct.deal(self.floor(round), &sharing, message)?;
        Ok((onward, Place::Dealt(sharing), After::Sharing))
    }

    fn acknowledge(
        &mut self,
        round: RoundId,
        conduct: Conduct,
        sharing: Sharing,
    ) -> Result<Done, DeviceError> {
        let (acknowledged, message) = self.device.prepare_ack(round, sharing)?;
        let onward = conduct.acknowledge(self.floor(round), message)?;
        Ok((onward, Place::Acknowledged(acknowledged), After::Acknowledging))
    }

    fn upload(
        &mut self,
        round: RoundId,
        part: &Part,
        acknowledged: Acknowledged,
    ) -> Result<Done, DeviceError> {
        let masking = self.device.sharers(round, acknowledged)?;
        let shared = masking.shared().clone();
        let mut uploading = self.device.prepare_upload(masking, &part.vector.values())?;
        let onward = part.conduct.upload(self.floor(round), &shared, &mut uploading)?;
        Ok((onward, Place::Uploaded(uploading.acknowledged()), After::Uploading))
    }

    fn sign(
        &mut self,
        round: RoundId,
        conduct: Conduct,
        checking: Checking,
    ) -> Result<Done, DeviceError> {
        let (signed, message) = self.device.prepare_signature(round, checking)?;
        let onward = conduct.sign(self.floor(round), message)?;
        Ok((onward, Place::Signed(signed), After::Signing))
    }

    fn floor(&mut self, round: RoundId) -> Floor<'_> {
        Floor { device: &mut self.device, round, told: &mut self.told }
    }
}

/// Whether the device goes on, to where, and what it has just done.
type Done = (Onward, Place, After);

fn not_open(round: RoundId) -> DeviceError {
    let why = format!("round {round} is not among the open ones");
    DeviceError::Unreadable { what: "rounds/open".to_owned(), why }
}

/// Does something with each. Who waits for its turn shows meanwhile that it is there, as a device
/// does that asks for the next step: an aggregator closes a connection on which nothing comes, and
/// does not wait for a device without one.
fn each_in_touch(members: &mut [Member], work: impl Fn(usize, &mut Member) + Sync) {
    let mut last = Instant::now();
    for first in (0..members.len()).step_by(AT_A_TIME) {
        if last.elapsed() > SILENCE {
            each(members, |_, member| member.show_up());
            last = Instant::now();
        }
        let end = members.len().min(first + AT_A_TIME);
        each(&mut members[first..end], |index, member| work(first + index, member));
    }
}

/// Does something with each, on a few threads.
fn each<T: Send>(items: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
    let threads = items.len().min(THREADS);
    let queue = Mutex::new(items.iter_mut().enumerate());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, item)) = next else { return };
                    work(index, item);
                }
            });
        }
    });
}
