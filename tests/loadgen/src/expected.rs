//! What must come of a round, by what the protocol says.

use sealsum_protocol::parameters::Parameters;

use crate::conduct::After;
use crate::lies::Lie;

/// What must come of a round. Devices are named by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it ends.
    pub end: End,
    /// Who is named as blamed, and for what.
    pub blamed: Vec<(usize, &'static str)>,
    /// What each liar is told, in order.
    pub told: Vec<(usize, Vec<&'static str>)>,
}

/// How a round ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the exact sum of exactly these.
    Sum {
        /// The contributors.
        contributors: Vec<usize>,
        /// Who is named as lost, and at which of these steps.
        dropped: Vec<(usize, &'static [&'static str])>,
    },
    /// Without a sum, by one of these codes.
    Abort {
        /// The codes.
        codes: &'static [&'static str],
        /// Who is named as the culprit.
        culprits: Vec<usize>,
    },
}

impl Expected {
    /// The exact sum of all `devices` but those without, nobody blamed.
    pub fn sum_without(devices: usize, without: &[usize]) -> Self {
        let contributors = (0..devices).filter(|index| !without.contains(index)).collect();
        let end = End::Sum { contributors, dropped: Vec::new() };
        Self { end, blamed: Vec::new(), told: Vec::new() }
    }

    /// No sum, by one of these codes.
    pub fn abort(codes: &'static [&'static str]) -> Self {
        let end = End::Abort { codes, culprits: Vec::new() };
        Self { end, blamed: Vec::new(), told: Vec::new() }
    }

    fn lost_at(mut self, lost: &[usize], steps: &'static [&'static str]) -> Self {
        if let End::Sum { dropped, .. } = &mut self.end {
            *dropped = lost.iter().map(|index| (*index, steps)).collect();
        }
        self
    }

    fn told(mut self, liars: &[usize], codes: &[&'static str]) -> Self {
        self.told = liars.iter().map(|index| (*index, codes.to_vec())).collect();
        self
    }

    fn blamed(mut self, liars: &[usize], code: &'static str) -> Self {
        self.blamed = liars.iter().map(|index| (*index, code)).collect();
        self
    }
}

/// How many losses after this step a round of `parameters` survives, wherever they are.
pub fn survives(parameters: &Parameters, fewest: usize, after: After) -> usize {
    let Parameters { n, t, quorum, .. } = *parameters;
    match after {
        After::Hearing => n - fewest,
        After::Sharing | After::Acknowledging => parameters.tolerated(),
        // In a sparse graph shares are lost by neighbourhood; what the task promises is what holds.
        After::Uploading | After::Signing if !parameters.complete => parameters.tolerated(),
        After::Uploading => (n - quorum).min(n - 1 - t),
        After::Signing => n - 1 - t,
    }
}

/// The fewest losses after this step that a round of `parameters` never survives.
pub fn fatal(parameters: &Parameters, fewest: usize, after: After) -> usize {
    let Parameters { n, t, quorum, a_min, complete, .. } = *parameters;
    match after {
        _ if complete => survives(parameters, fewest, after) + 1,
        After::Hearing => n - fewest + 1,
        After::Sharing | After::Acknowledging => n - a_min + 1,
        After::Uploading => n - quorum + 1,
        After::Signing => n - t,
    }
}

/// What comes of `lost` vanishing after this step.
pub fn of_losses(parameters: &Parameters, fewest: usize, after: After, lost: &[usize]) -> Expected {
    let n = parameters.n;
    if lost.len() >= fatal(parameters, fewest, after) {
        return Expected::abort(codes_of_losses(parameters, after, lost.len()));
    }
    match after {
        After::Hearing => Expected::sum_without(n, lost),
        // In a sparse graph too few neighbours of one of them may have acknowledged its shares.
        After::Sharing if !parameters.complete => {
            Expected::sum_without(n, lost).lost_at(lost, &["share", "mask"])
        }
        After::Sharing | After::Acknowledging => {
            Expected::sum_without(n, lost).lost_at(lost, &["mask"])
        }
        After::Uploading => Expected::sum_without(n, &[]).lost_at(lost, &["check"]),
        After::Signing => Expected::sum_without(n, &[]).lost_at(lost, &["unmask"]),
    }
}

fn codes_of_losses(parameters: &Parameters, after: After, lost: usize) -> &'static [&'static str] {
    let Parameters { n, t, quorum, a_min, complete, .. } = *parameters;
    let left = n - lost;
    match after {
        After::Hearing => &["too_few_devices"],
        After::Sharing if !complete => &["too_few_devices", "too_few_contributors"],
        // Each of those left has one holder fewer than there are of them; with fewer than t it is
        // out of the set that shared, and then everybody is.
        After::Sharing if left - 1 < t => &["too_few_devices"],
        After::Sharing | After::Acknowledging if left < a_min => &["too_few_contributors"],
        After::Uploading if left < quorum => &["no_consensus"],
        _ => &["too_few_shares"],
    }
}

/// How many devices tell this lie in one round.
pub fn liars(parameters: &Parameters, lie: Lie) -> usize {
    // As many as may be corrupt: together they must not get anybody left out.
    if lie == Lie::Slander { parameters.corrupt } else { 1 }
}

/// What comes of `liars` lying among `devices`.
pub fn of_lie(devices: usize, lie: Lie, liars: &[usize]) -> Expected {
    let (all, without) = (
        || Expected::sum_without(devices, &[]),
        |step: &'static [&'static str]| Expected::sum_without(devices, liars).lost_at(liars, step),
    );
    match lie {
        Lie::EntrySignature => {
            Expected::sum_without(devices, liars).told(liars, &["entry_signature"])
        }
        Lie::DealSignature => without(&["share"]).told(liars, &["deal_shape"]),
        Lie::GarbageCiphertexts => without(&["share"]),
        Lie::WrongSecret => Expected {
            end: End::Abort { codes: &["too_few_shares"], culprits: liars.to_vec() },
            ..all().blamed(liars, "wrong_dealer")
        },
        Lie::Slander | Lie::Flood => all(),
        Lie::DifferentResend => all().told(liars, &["different_resend"; 3]),
        Lie::OutOfStep => {
            let early = "not_in_roster";
            all().told(liars, &[early, early, early, "late"])
        }
        Lie::ChunkLength => without(&["mask"]).told(liars, &["chunk_invalid", "chunk_invalid"]),
        Lie::WrongRoot => without(&["mask"]).told(liars, &["masked_root"]),
        Lie::MaskedSignature => without(&["mask"]).told(liars, &["masked_signature"]),
        Lie::Canary => Expected::abort(&["canary"]),
        Lie::SurvivorSignature => {
            all().lost_at(liars, &["check"]).told(liars, &["alive_signature"])
        }
        Lie::Silence => all().lost_at(liars, &["check"]),
        Lie::WrongShares => all().blamed(liars, "wrong_share"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics fails")]

    use super::*;
    use crate::task::Size;

    /// As `tests/dropouts` finds for the protocol itself.
    #[test]
    fn twelve_devices_end_by_the_code_of_the_step_at_which_too_many_are_lost() {
        let size = Size { devices: 12, coordinates: 1 };
        let (parameters, fewest) = (size.parameters(12).unwrap(), size.min_contributors());
        let end = |after, lost: usize| match of_losses(
            &parameters,
            fewest,
            after,
            &(0..lost).collect::<Vec<_>>(),
        )
        .end
        {
            End::Sum { contributors, .. } => Ok(contributors.len()),
            End::Abort { codes, .. } => Err(codes),
        };
        assert_eq!((parameters.t, parameters.quorum, parameters.a_min), (7, 8, 9));
        assert_eq!(end(After::Hearing, 3), Ok(9));
        assert_eq!(end(After::Hearing, 4), Err(&["too_few_devices"][..]));
        assert_eq!(end(After::Acknowledging, 3), Ok(9));
        assert_eq!(end(After::Acknowledging, 4), Err(&["too_few_contributors"][..]));
        assert_eq!(end(After::Uploading, 4), Ok(12));
        assert_eq!(end(After::Uploading, 5), Err(&["no_consensus"][..]));
        assert_eq!(end(After::Signing, 4), Ok(12));
        assert_eq!(end(After::Signing, 5), Err(&["too_few_shares"][..]));
    }
}
