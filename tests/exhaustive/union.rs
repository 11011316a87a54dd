//! All devices' answers together: which combinations of their vectors does the liar learn?

use std::collections::BTreeMap;

use sealsum_protocol::transcript::SecretKind;

use crate::local::{Behaviour, Sets};
use crate::stage::{Set, Stage, places};

/// The numbers that the union of all views depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) quorum: usize,
    pub(crate) t: usize,
    /// Devices that are corrupt: any so many, and any fewer.
    pub(crate) corrupt: usize,
}

impl Rules {
    pub(crate) fn of(stage: &Stage) -> Self {
        let parameters = &stage.cohort.parameters;
        Self { quorum: parameters.quorum, t: parameters.t, corrupt: parameters.corrupt }
    }
}

/// How many combinations of choices gave what.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Exactly the sum over the honest of the one agreed A.
    pub(crate) total: u64,
    pub(crate) nothing: u64,
    /// Anything else.
    pub(crate) partial: u64,
    /// The first of those.
    pub(crate) example: Option<String>,
}

/// How one device was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Its masked input never came.
    Absent,
    /// It masked against this U2 and was asked nothing more.
    Masked(Set),
    /// It was shown these sets too.
    Asked(Sets),
}

impl Choice {
    fn shared(self) -> Option<Set> {
        match self {
            Choice::Absent => None,
            Choice::Masked(shared) => Some(shared),
            Choice::Asked(sets) => Some(sets.shared),
        }
    }
}

/// Every combination of choices for the honest devices, with every set of corrupt ones.
pub(crate) fn everything(behaviours: &[Behaviour], rules: &Rules) -> Verdict {
    let n = behaviours.len();
    let menus: Vec<Vec<Choice>> = behaviours.iter().map(menu).collect();
    let mut verdict = Verdict::default();
    for corrupt in 0..1u16 << n {
        let corrupt = corrupt as Set;
        if corrupt.count_ones() as usize > rules.corrupt {
            continue;
        }
        let honest: Vec<usize> = (0..n).filter(|device| corrupt >> device & 1 == 0).collect();
        let mut choices = vec![Choice::Absent; n];
        combine(&menus, &honest, &mut choices, &mut |choices| {
            judge(&Views { behaviours, rules, corrupt, choices }, &mut verdict);
        });
    }
    verdict
}

fn menu(behaviour: &Behaviour) -> Vec<Choice> {
    let masked = behaviour.masks.iter().map(|shared| Choice::Masked(*shared));
    let asked = behaviour.signs.keys().map(|sets| Choice::Asked(*sets));
    [Choice::Absent].into_iter().chain(masked).chain(asked).collect()
}

fn combine(
    menus: &[Vec<Choice>],
    honest: &[usize],
    choices: &mut [Choice],
    visit: &mut impl FnMut(&[Choice]),
) {
    let Some((device, rest)) = honest.split_first() else { return visit(choices) };
    for choice in &menus[*device] {
        choices[*device] = *choice;
        combine(menus, rest, choices, visit);
    }
}

/// What server and corrupt devices see in one combination.
struct Views<'a> {
    behaviours: &'a [Behaviour],
    rules: &'a Rules,
    corrupt: Set,
    choices: &'a [Choice],
}

fn judge(views: &Views<'_>, verdict: &mut Verdict) {
    let agreed = views.agreed();
    let determined = if agreed.is_empty() { Vec::new() } else { views.determined(&agreed) };
    let right = |combination: &Vec<i64>| {
        let [sets] = agreed.as_slice() else { return false };
        let weight = |device: usize| i64::from((sets.alive & !views.corrupt) >> device & 1 == 1);
        combination.iter().enumerate().all(|(device, found)| *found == weight(device))
    };
    match determined.as_slice() {
        [] => verdict.nothing += 1,
        [one] if right(one) => verdict.total += 1,
        _ => {
            verdict.partial += 1;
            verdict.example.get_or_insert_with(|| {
                format!("{:?}, corrupt {:b}: {determined:?}", views.choices, views.corrupt)
            });
        }
    }
}

impl Views<'_> {
    /// Whether an honest device signs what it was asked to: each honest device of A must have
    /// signed the same U2, and the corrupt sign any.
    fn signs(&self, sets: Sets) -> bool {
        places(sets.alive & !self.corrupt)
            .all(|device| self.choices[device].shared() == Some(sets.shared))
    }

    /// The sets that a quorum signed.
    fn agreed(&self) -> Vec<Sets> {
        let mut votes: Vec<(Sets, usize)> = Vec::new();
        for choice in self.choices {
            let Choice::Asked(sets) = *choice else { continue };
            match votes.iter_mut().find(|(voted, _)| *voted == sets) {
                Some((_, count)) => *count += 1,
                None => votes.push((sets, 1)),
            }
        }
        let enough = |(sets, honest): &(Sets, usize)| {
            let corrupt = (sets.alive & self.corrupt).count_ones() as usize;
            honest + corrupt >= self.rules.quorum && self.signs(*sets)
        };
        votes.into_iter().filter(enough).map(|(sets, _)| sets).collect()
    }

    /// Whether the shares of a kind that were revealed, and those that the corrupt hold, rebuild
    /// an honest device's secret.
    fn rebuilds(&self, dealer: usize, kind: SecretKind, agreed: &[Sets]) -> bool {
        let revealed = |holder: usize| {
            let Choice::Asked(sets) = self.choices[holder] else { return false };
            agreed.contains(&sets) && self.behaviours[holder].signs[&sets].contains(&(dealer, kind))
        };
        let holders = (0..self.choices.len())
            .filter(|holder| *holder != dealer)
            .filter(|holder| self.corrupt >> holder & 1 == 1 || revealed(*holder));
        holders.count() >= self.rules.t
    }

    /// A basis of the combinations of honest vectors that the views determine: those in which the
    /// masks that nobody can compute cancel. Each masked input is a row, each such mask a column.
    fn determined(&self, agreed: &[Sets]) -> Vec<Vec<i64>> {
        let n = self.choices.len();
        let honest = |device: &usize| self.corrupt >> device & 1 == 0;
        let open: Vec<bool> =
            (0..n).map(|device| self.rebuilds(device, SecretKind::MaskKey, agreed)).collect();
        let mut columns = BTreeMap::new();
        let mut rows = Vec::new();
        for device in (0..n).filter(honest) {
            let Some(shared) = self.choices[device].shared() else { continue };
            if !self.rebuilds(device, SecretKind::SelfMask, agreed) {
                continue;
            }
            let mut row = Row::of(device, n);
            for peer in places(shared & !self.corrupt).filter(|peer| *peer != device) {
                if open[device] || open[peer] {
                    continue;
                }
                let next = columns.len();
                let pair = (device.min(peer), device.max(peer), shared);
                let column = *columns.entry(pair).or_insert(next);
                row.masks.resize(row.masks.len().max(column + 1), 0);
                row.masks[column] = if device < peer { 1 } else { PRIME - 1 };
            }
            rows.push(row);
        }
        null_space(rows, columns.len())
    }
}

/// Larger than any coefficient that can arise from so few rows of 0, 1 and -1.
const PRIME: i64 = 1_000_003;

/// A masked input: which vectors it is made of, and which unknown masks are on it.
struct Row {
    vectors: Vec<i64>,
    masks: Vec<i64>,
}

impl Row {
    fn of(device: usize, n: usize) -> Self {
        let mut vectors = vec![0; n];
        vectors[device] = 1;
        Self { vectors, masks: Vec::new() }
    }

    fn subtract(&mut self, other: &Self, factor: i64) {
        for (own, others) in [(&mut self.vectors, &other.vectors), (&mut self.masks, &other.masks)]
        {
            own.iter_mut().zip(others).for_each(|(own, other)| {
                *own = (*own - factor * other).rem_euclid(PRIME);
            });
        }
    }
}

/// Gaussian elimination; the rows that are left without masks, scaled to begin with 1.
fn null_space(mut rows: Vec<Row>, columns: usize) -> Vec<Vec<i64>> {
    rows.iter_mut().for_each(|row| row.masks.resize(columns, 0));
    for column in 0..columns {
        let Some(place) = rows.iter().position(|row| row.masks[column] != 0) else { continue };
        let pivot = rows.swap_remove(place);
        let inverse = power(pivot.masks[column], PRIME - 2);
        for row in &mut rows {
            let factor = row.masks[column] * inverse % PRIME;
            row.subtract(&pivot, factor);
        }
    }
    rows.into_iter().map(|row| scaled(row.vectors)).collect()
}

fn scaled(mut vector: Vec<i64>) -> Vec<i64> {
    let first = vector.iter().find(|value| **value != 0).copied().unwrap_or(1);
    let inverse = power(first, PRIME - 2);
    vector.iter_mut().for_each(|value| *value = *value * inverse % PRIME);
    vector
}

fn power(mut base: i64, mut exponent: i64) -> i64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % PRIME;
        }
        base = base * base % PRIME;
        exponent >>= 1;
    }
    result
}
