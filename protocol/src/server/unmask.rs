//! Step 5: shares are collected, secrets rebuilt, and the caller given what unmasks the sum.

use super::{Members, Output, Recovery, Round, Step};
use crate::error::{AbortCode, Refusal, require_of};
use crate::guard::Guard;
use crate::ids::DeviceId;
use crate::messages::{Reveal, RevealedSecret, RevealedShare};
use crate::scalar::SecretScalar;
use crate::shamir::{Interpolation, Share};
use crate::time::Now;
use crate::transcript::SecretKind;

/// The good shares that came, and who sent.
pub(super) struct Reveals {
    /// By dealer: point and share.
    shares: Vec<Vec<(u16, Share)>>,
    answered: Vec<bool>,
    interpolation: Interpolation,
}

impl Reveals {
    pub(super) fn new(n: usize) -> Self {
        Self {
            shares: (0..n).map(|_| Vec::new()).collect(),
            answered: vec![false; n],
            interpolation: Interpolation::default(),
        }
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.answered[index]
    }
}

/// Why a secret was not rebuilt.
pub(super) enum Unrecovered {
    /// Too few devices revealed a share.
    TooFew(String),
    /// The dealer's shares are of another secret than the one it committed to.
    WrongDealer,
}

impl Members {
    /// Takes an answer. Says whether a share in it was wrong; such a share is dropped.
    pub(super) fn reveal(&mut self, from: DeviceId, message: Reveal) -> Result<bool, Refusal> {
        let index = self.index_in(from, &self.survivors)?;
        require_of(self.alive[index].is_some(), Guard::NotInRoster, from, || {
            "it did not sign the survivors".into()
        })?;
        let shape = |detail: &str| Refusal::of(Guard::RevealShape, from, detail);
        let mut good = Vec::new();
        let mut wrong = false;
        for revealed in message.shares {
            let dealer = usize::from(revealed.dealer);
            let point = self.cohort.graph.share_position(dealer, index);
            let point = point.ok_or_else(|| shape("a share of no neighbour"))?;
            let (kind, share) = self
                .expected_kind(dealer, revealed)
                .ok_or_else(|| shape("a share that the agreed sets do not call for"))?;
            match self.matches(kind, dealer, index, &share) {
                Some(true) => good.push((dealer, point, share)),
                Some(false) => wrong = true,
                None => return Err(shape("a share of a device that dealt none")),
            }
        }
        for (dealer, point, share) in good {
            let shares = &mut self.reveals.shares[dealer];
            if shares.is_empty() {
                shares.reserve_exact(self.cohort.parameters.k);
            }
            shares.push((point, share));
        }
        self.reveals.answered[index] = true;
        Ok(wrong)
    }

    /// Of a survivor the self-mask secret, of the lost the mask key, of others nothing.
    fn expected_kind(&self, dealer: usize, revealed: RevealedShare) -> Option<(SecretKind, Share)> {
        match revealed.secret {
            RevealedSecret::SelfMask(share) if self.survivors.contains(dealer) => {
                Some((SecretKind::SelfMask, share))
            }
            RevealedSecret::MaskKey(share) if self.lost.contains(dealer) => {
                Some((SecretKind::MaskKey, share))
            }
            _ => None,
        }
    }

    /// Whether a share is the one that its dealer committed to.
    fn matches(
        &self,
        kind: SecretKind,
        dealer: usize,
        holder: usize,
        share: &Share,
    ) -> Option<bool> {
        self.deals.get(dealer)?.as_ref()?;
        let place = self.cohort.neighbours(dealer).position(|index| index == holder)?;
        let dealt = self.dealt(dealer, place)?;
        let committed = match kind {
            SecretKind::MaskKey => dealt.mask_key_commitment,
            SecretKind::SelfMask => dealt.self_mask_commitment,
        };
        let transcript = &self.cohort.transcript;
        Some(transcript.share_commitment(kind, dealer, holder, share.as_bytes()) == committed)
    }

    /// Rebuilds a dealer's secret and holds it against the dealer's commitment.
    pub(super) fn rebuild(
        &mut self,
        dealer: usize,
        is_right: impl Fn(&Self, &SecretScalar) -> bool,
    ) -> Result<SecretScalar, Unrecovered> {
        let mut shares = std::mem::take(&mut self.reveals.shares[dealer]);
        // In one order for all dealers, so that their weights are the same where their holders are.
        shares.sort_unstable_by_key(|(point, _)| *point);
        let t = self.cohort.parameters.t;
        if shares.len() < t {
            return Err(Unrecovered::TooFew(format!("{} of {t} shares", shares.len())));
        }
        // A dealer whose policy assumes more corrupt devices shares with a higher threshold, which
        // all shares together meet if any number does.
        let mut interpolation = std::mem::take(&mut self.reveals.interpolation);
        let secret = [t, shares.len()]
            .into_iter()
            .filter_map(|threshold| interpolation.recover(&shares, threshold).ok())
            .find(|secret| is_right(self, secret));
        self.reveals.interpolation = interpolation;
        secret.ok_or(Unrecovered::WrongDealer)
    }
}

impl Round {
    pub(super) fn close_unmask(&mut self, now: Now) {
        let Some(members) = &mut self.members else { return };
        match Recovery::new(members) {
            Ok(recovery) => {
                self.enter(Step::Recover, now);
                self.outputs.push_back(Output::Recover(recovery));
            }
            Err((dealer, unrecovered)) => {
                let device = members.cohort.device(dealer);
                let (message, culprits) = match unrecovered {
                    Unrecovered::TooFew(shares) => {
                        (format!("{shares} of a secret of {device}"), Vec::new())
                    }
                    Unrecovered::WrongDealer => {
                        self.blame(device, Guard::WrongDealer);
                        (format!("{device} dealt shares of a wrong secret"), vec![device])
                    }
                };
                self.abort(AbortCode::TooFewShares, message, culprits, now);
            }
        }
    }

    pub(super) fn recovered(&mut self, wrong_chunks: &[usize], now: Now) {
        if self.step != Step::Recover {
            return;
        }
        if wrong_chunks.is_empty() {
            self.enter(Step::Over, now);
            self.outputs.push_back(Output::Finished);
            return;
        }
        let message = format!("the canaries of chunks {wrong_chunks:?} do not count the devices");
        self.abort(AbortCode::Canary, message, Vec::new(), now);
    }
}
