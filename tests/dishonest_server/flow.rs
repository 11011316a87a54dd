//! The attack by max-flow on a ring where nobody agrees with anybody.
//!
//! To open the device at place 0, the aggregator needs its self mask from t of its neighbours and
//! the mask key of each of its k neighbours from t of theirs. If each holder can be told sets of
//! its own, it reveals at most k - t mask keys, since t of its neighbours must survive in them.
//! Corrupt devices hold no secret from the aggregator and reveal all.

use std::collections::BTreeMap;

/// A ring of degree k and threshold t around the target; every so many places a corrupt device.
pub(crate) struct Ring {
    pub(crate) k: usize,
    pub(crate) t: usize,
    pub(crate) corrupt_every: Option<usize>,
}

impl Ring {
    fn half(&self) -> i64 {
        self.k as i64 / 2
    }

    /// All who hold shares of a neighbour of the target.
    fn holders(&self) -> std::ops::RangeInclusive<i64> {
        -2 * self.half()..=2 * self.half()
    }

    /// The neighbours of the target that hold their mask keys from the aggregator.
    fn dealers(&self) -> impl Iterator<Item = i64> {
        let honest = |place: &i64| *place != 0 && !self.is_corrupt(*place);
        (-self.half()..=self.half()).filter(honest)
    }

    fn is_corrupt(&self, place: i64) -> bool {
        self.corrupt_every.is_some_and(|every| place.rem_euclid(every as i64) == 1)
    }

    fn are_neighbours(&self, holder: i64, dealer: i64) -> bool {
        holder != dealer && (holder - dealer).abs() <= self.half()
    }

    /// How many mask keys a holder reveals at most.
    fn most(&self, holder: i64) -> usize {
        let held = self.dealers().filter(|dealer| self.are_neighbours(holder, *dealer)).count();
        if self.is_corrupt(holder) { held } else { held.min(self.k - self.t) }
    }

    /// Whether there is too little room whoever reveals what: a cut of the flow.
    pub(crate) fn is_too_narrow(&self) -> bool {
        let room: usize = self.holders().map(|holder| self.most(holder)).sum();
        room < self.dealers().count() * self.t
    }

    /// A flow that opens the target, if one is found: by holder, whose mask keys it reveals. At
    /// each holder those dealers go first that can least afford to wait.
    pub(crate) fn claims(&self) -> Option<BTreeMap<i64, Vec<i64>>> {
        let mut missing: BTreeMap<i64, usize> =
            self.dealers().map(|dealer| (dealer, self.t)).collect();
        let mut claims = BTreeMap::new();
        for holder in self.holders() {
            let wants = |(dealer, missing): (&i64, &usize)| {
                let later = (holder..=dealer + self.half()).filter(|h| h != dealer).count();
                let open = *missing > 0 && self.are_neighbours(holder, *dealer);
                open.then_some((later as i64 - *missing as i64, *dealer))
            };
            let mut wanting: Vec<(i64, i64)> = missing.iter().filter_map(wants).collect();
            wanting.sort_unstable();
            let served = wanting.into_iter().take(self.most(holder)).map(|(_, dealer)| dealer);
            let served: Vec<i64> = served.collect();
            served.iter().for_each(|dealer| *missing.get_mut(dealer).expect("a dealer") -= 1);
            claims.insert(holder, served);
        }
        missing.values().all(|missing| *missing == 0).then_some(claims)
    }
}
