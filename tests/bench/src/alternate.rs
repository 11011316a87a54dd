//! Ours and theirs by turns, so that what disturbs one disturbs the other.

/// The medians over rounds.
pub(crate) struct Medians {
    /// Seconds of ours.
    pub(crate) ours: f64,
    /// Theirs over ours, of each round.
    pub(crate) ratio: f64,
}

/// Times both, each round one after the other; each gives its seconds.
pub(crate) fn alternate(
    rounds: usize,
    mut ours: impl FnMut() -> f64,
    mut theirs: impl FnMut() -> f64,
) -> Medians {
    let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
    // The first warms caches and clocks up.
    for round in 0..=rounds {
        let (own, other) = (ours(), theirs());
        if round > 0 {
            seconds.push(own);
            ratios.push(other / own);
        }
    }
    Medians { ours: median(seconds), ratio: median(ratios) }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
