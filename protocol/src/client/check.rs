//! Step 4: agree with everybody on who survives, before anybody reveals anything.

use super::once::{Once, OnceCounter};
use super::share::HeldShares;
use super::unmask::Unmasking;
use super::{Seat, in_time};
use crate::bitmap::Bitmap;
use crate::error::{Error, Refusal, require};
use crate::guard::Guard;
use crate::messages::{ConsistencySignature, Quorum, Survivors};
use crate::time::Now;
use crate::transcript::SharedTranscript;

/// A device whose masked input is complete, and which waits for the survivors.
pub struct Checking {
    pub(super) seat: Seat,
    pub(super) shared: Bitmap,
    pub(super) transcript: SharedTranscript,
    pub(super) held: HeldShares,
}

/// A device that signed one (A, D), and waits for a quorum on the same.
pub struct Signed {
    seat: Seat,
    held: HeldShares,
    survivors: Bitmap,
    lost: Bitmap,
    /// What was signed.
    string: Vec<u8>,
}

/// The proof that this device passed the consistency check and saw a quorum on the sets that it
/// signed. Only [`Signed::quorum`] makes one, and nothing is revealed without.
pub struct SurvivorsAgreed {
    pub(super) survivors: Bitmap,
    pub(super) lost: Bitmap,
    _made_here: (),
}

impl Checking {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Checks the survivors and signs them, once.
    ///
    /// # Errors
    /// [`Guard::Sets`], [`Guard::SurvivorsSmall`], [`Guard::NeighboursFew`], [`Guard::Window`],
    /// [`Guard::NeighbourView`], [`Guard::Deadline`], [`Guard::OnceCounter`]; the aggregator is at
    /// fault, except for the last. The device is out of the round and will reveal nothing.
    pub fn agree<C: OnceCounter>(
        self,
        message: &Survivors,
        once: &mut Once<C>,
        now: Now,
    ) -> Result<(Signed, ConsistencySignature), Error> {
        in_time(now, self.seat.limits.survivors, "the survivors")?;
        self.check_sets(message)?;
        self.check_sizes(&message.survivors)?;
        self.check_views(message)?;
        let string = self.transcript.alive_string(&message.survivors, &message.lost);
        once.spend()?;
        let signature = self.seat.signing.sign(&string);
        let (survivors, lost) = (message.survivors.clone(), message.lost.clone());
        let signed = Signed { seat: self.seat, held: self.held, survivors, lost, string };
        Ok((signed, ConsistencySignature { signature }))
    }

    /// Whole bitmaps, not only neighbours: that is what makes one string mean one U2.
    fn check_sets(&self, message: &Survivors) -> Result<(), Refusal> {
        let Survivors { survivors, lost, .. } = message;
        self.seat.check_size(survivors, Guard::Sets)?;
        self.seat.check_size(lost, Guard::Sets)?;
        let disjoint = survivors.is_disjoint(lost);
        require(disjoint, Guard::Sets, || "a device is survivor and lost".into())?;
        let exact = survivors.union(lost) == self.shared;
        require(exact, Guard::Sets, || "together they are not the set that shared".into())?;
        let alive = survivors.contains(self.seat.own);
        require(alive, Guard::Sets, || "this device is called lost".into())
    }

    fn check_sizes(&self, survivors: &Bitmap) -> Result<(), Refusal> {
        let parameters = &self.seat.cohort.parameters;
        let (count, a_min) = (survivors.count(), parameters.a_min);
        require(count >= a_min, Guard::SurvivorsSmall, || {
            format!("{count} survive, {a_min} are needed")
        })?;
        let (neighbours, t) = (self.seat.neighbours_in(survivors).len(), parameters.t);
        require(neighbours >= t, Guard::NeighboursFew, || {
            format!("{neighbours} neighbours survive, {t} are needed")
        })?;
        let graph = &self.seat.cohort.graph;
        let windows = graph.windows_hold(parameters, |index| survivors.contains(index));
        require(windows, Guard::Window, || {
            format!("a window of {} holds fewer than {}", parameters.k / 2, parameters.w_min)
        })
    }

    /// Each neighbour in A signed, with its masked input, the U2 that this device masked against.
    fn check_views(&self, message: &Survivors) -> Result<(), Refusal> {
        let expected = self.seat.neighbours_in(&message.survivors);
        let shown = message.views.iter().map(|view| usize::from(view.device));
        let complete = shown.eq(expected.iter().copied());
        require(complete, Guard::NeighbourView, || {
            format!("{} signatures for {} neighbours", message.views.len(), expected.len())
        })?;
        for view in &message.views {
            let entry = &self.seat.cohort.entries[usize::from(view.device)];
            let string = self.transcript.masked_string(&view.root);
            let same = entry.signing_key.verifies(&string, &view.signature);
            require(same, Guard::NeighbourView, || {
                format!("{} did not sign this set that shared", entry.device)
            })?;
        }
        Ok(())
    }
}

impl Signed {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Counts the signatures over exactly what this device signed, by distinct survivors.
    ///
    /// # Errors
    /// [`Guard::Quorum`], [`Guard::Deadline`]; the aggregator is at fault.
    pub fn quorum(self, message: &Quorum, now: Now) -> Result<(Unmasking, SurvivorsAgreed), Error> {
        in_time(now, self.seat.limits.quorum, "the quorum")?;
        let valid = message.signatures.iter().filter(|signature| {
            let device = usize::from(signature.device);
            self.survivors.contains(device)
                && self.seat.cohort.entries[device]
                    .signing_key
                    .verifies(&self.string, &signature.signature)
        });
        let (valid, quorum) = (valid.count(), self.seat.cohort.parameters.quorum);
        require(valid >= quorum, Guard::Quorum, || {
            format!("{valid} survivors signed these sets, {quorum} are needed")
        })?;
        let Self { seat, held, survivors, lost, .. } = self;
        let agreed = SurvivorsAgreed { survivors, lost, _made_here: () };
        Ok((Unmasking { seat, held }, agreed))
    }
}
