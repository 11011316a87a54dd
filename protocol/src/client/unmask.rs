//! Step 5: reveal the shares that unmask the agreed sum, and nothing else.

use super::check::SurvivorsAgreed;
use super::once::{Once, OnceCounter};
use super::share::HeldShares;
use super::{Seat, in_time};
use crate::error::Error;
use crate::messages::{Reveal, RevealedSecret, RevealedShare};
use crate::time::Now;

/// A device that saw a quorum, and holds shares to reveal.
pub struct Unmasking {
    pub(super) seat: Seat,
    pub(super) held: HeldShares,
}

impl Unmasking {
    /// The device's place in the round.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The shares: of the self-mask secret of each neighbour that survives, of the mask key of
    /// each that is lost. The other share of each pair is erased, as is everything else; the
    /// signatures of [`crate::messages::SurvivorView`] were checked before the device signed.
    ///
    /// # Errors
    /// [`crate::guard::Guard::Deadline`], [`crate::guard::Guard::OnceCounter`]. Nothing is revealed.
    pub fn reveal<C: OnceCounter>(
        self,
        agreed: SurvivorsAgreed,
        once: &mut Once<C>,
        now: Now,
    ) -> Result<Reveal, Error> {
        in_time(now, self.seat.limits.end, "the answer")?;
        once.spend()?;
        let SurvivorsAgreed { survivors, lost, .. } = agreed;
        let choose = |(dealer, pair): (usize, super::share::SharePair)| {
            let secret = if survivors.contains(dealer) {
                RevealedSecret::SelfMask(pair.self_mask)
            } else if lost.contains(dealer) {
                RevealedSecret::MaskKey(pair.mask_key)
            } else {
                return None;
            };
            Some(RevealedShare { dealer: dealer as u16, secret })
        };
        Ok(Reveal { shares: self.held.into_iter().filter_map(choose).collect() })
    }
}
