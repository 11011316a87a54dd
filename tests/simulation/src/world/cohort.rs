//! How many devices there are, what is assumed of them, and which are lost.

use serde::{Deserialize, Serialize};

use super::{Draw, World};

/// A device that is lost for the rest of a round, with all that it knew of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The round.
    pub round: u64,
    /// The device.
    pub device: usize,
    /// Just before it would have said this.
    pub before: Moment,
}

/// What a device says after the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Its shares.
    Shares,
    /// Its acknowledgement of others' shares.
    Ack,
    /// Its masked input.
    Masked,
    /// Its signature on the survivors.
    Consistency,
    /// The shares that it reveals.
    Reveal,
}

impl Moment {
    /// Each of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Shares, Self::Ack, Self::Masked, Self::Consistency, Self::Reveal];
}

/// Three to ten, few more often than many; once in 200 histories up to 64.
pub(super) fn size(draw: &mut Draw) -> usize {
    if draw.below(200) == 0 {
        11 + draw.below(54)
    } else {
        3 + draw.below(8).min(3 + draw.below(5))
    }
}

impl World {
    /// Shares that some parameters keep.
    pub(super) fn draw_cohort(&mut self, draw: &mut Draw) {
        let n = self.devices;
        self.corrupt_permille = draw.of(&[0, 50, 100, 100, 200, 300]);
        self.dropout_permille = draw.of(&[0, 200, 250, 340, 340, 400]);
        let more = draw.below(n - 2);
        self.min_contributors = 3 + draw.of(&[0, 0, 0, 0, more as u32]);
        self.corrupt_fleet = draw.of(&[0, 0, 0, 1, 2]);
        self.start_when = n as u32;
        if draw.chance(100) {
            self.start_when -= draw.below(n + 1 - self.min_contributors as usize) as u32;
        }
        while !self.is_viable() {
            if self.dropout_permille > 0 {
                self.dropout_permille = self.dropout_permille.saturating_sub(100);
            } else {
                (self.corrupt_permille, self.corrupt_fleet) = (0, 0);
                break;
            }
        }
    }

    pub(super) fn is_viable(&self) -> bool {
        self.parameters(self.devices).is_some_and(|parameters| parameters.honest_floor() >= 2)
    }

    /// At most as many as the cohort tolerates in one round, and now and then one more.
    pub(super) fn draw_losses(&mut self, draw: &mut Draw) {
        let tolerated = self.parameters(self.devices).map_or(0, |p| p.tolerated());
        let beyond = usize::from(draw.chance(200));
        for round in 1..=self.rounds {
            let mut devices: Vec<usize> = (0..self.devices).collect();
            for _ in 0..draw.below(tolerated + 1) + beyond {
                let device = devices.swap_remove(draw.below(devices.len()));
                self.losses.push(Loss { round, device, before: draw.of(&Moment::ALL) });
            }
        }
    }
}
