//! Queries: what values become, that no part is longer than its template says, and what sums say.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::analytics::{Answer, Quantile, answer, encode};
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::variance::Variance;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::task::{Bins, Kind, Range, Rotation};

const AGES: Bins = Bins { range: Range { low: 0.0, high: 128.0 }, count: 16 };

/// The parts of all values, summed.
fn sum(kind: &Kind, values: &[f64]) -> Vec<f64> {
    let mut total = vec![0.0; kind.template().unwrap().coordinates as usize];
    for value in values {
        let part = encode(kind, *value).unwrap().unwrap();
        assert_eq!(part.len(), total.len());
        total.iter_mut().zip(part.iter()).for_each(|(sum, value)| *sum += value);
    }
    total
}

fn of(kind: &Kind, values: &[f64], deviation: f64) -> Answer {
    answer(kind, &sum(kind, values), values.len(), deviation).unwrap()
}

#[test]
fn a_count_counts_and_takes_nothing_but_yes_and_no() {
    let Answer::Count { count, share } = of(&Kind::Count, &[1.0, 0.0, 1.0, 1.0], 2.0) else {
        panic!("no count")
    };
    assert_eq!((count.value, count.deviation, share.value, share.deviation), (3.0, 2.0, 0.75, 0.5));
    for bad in [0.5, 2.0, -1.0] {
        assert_eq!(encode(&Kind::Count, bad).unwrap_err().guard, Guard::Norm, "{bad}");
    }
}

#[test]
fn a_mean_is_that_of_values_taken_into_the_range() {
    let kind = Kind::Mean(Range { low: -10.0, high: 30.0 });
    let Answer::Mean { mean, variance } = of(&kind, &[0.0, 10.0, 20.0, 99.0], 0.0) else {
        panic!("no mean")
    };
    assert!((mean.value - 15.0).abs() < 1e-12, "{mean:?}");
    assert!((variance.value - 125.0).abs() < 1e-9, "{variance:?}");
    let Answer::Mean { mean, .. } = of(&kind, &[10.0; 4], 0.1) else { panic!("no mean") };
    assert!((mean.deviation - 0.1 / 4.0 * 20.0).abs() < 1e-12, "in the values' own unit");
}

#[test]
fn a_histogram_puts_each_value_in_its_bin() {
    let values = [0.0, 7.9, 8.0, 127.9, 128.0, -5.0, 1e9];
    let Answer::Histogram { bars } = of(&Kind::Histogram(AGES), &values, 1.0) else {
        panic!("no histogram")
    };
    let counts: Vec<f64> = bars.iter().map(|bar| bar.count.value).collect();
    assert_eq!((counts[0], counts[1], counts[15]), (3.0, 1.0, 3.0));
    assert_eq!(counts.iter().sum::<f64>(), 7.0);
    assert_eq!((bars[1].low, bars[1].high), (8.0, 16.0));
    assert!(!bars[1].is_certain() && !bars[0].is_certain(), "three deviations are not above three");
}

fn share(quantiles: &[Quantile], share: f64) -> Quantile {
    *quantiles.iter().find(|quantile| quantile.share == share).unwrap()
}

#[test]
fn quantiles_are_found_in_the_tree() {
    let values: Vec<f64> = (0..1280).map(|tenth| f64::from(tenth) / 10.0).collect();
    let Answer::Quantiles { quantiles } = of(&Kind::Quantiles(AGES), &values, 0.0) else {
        panic!("no quantiles")
    };
    for quantile in &quantiles {
        let truth = quantile.share * 128.0;
        assert!((quantile.value - truth).abs() < 0.11, "{quantile:?}");
        assert_eq!((quantile.low, quantile.high), (quantile.value, quantile.value));
    }
}

/// Noise on each node, many times: the error bars hold, and the tree beats its leaves alone.
#[test]
fn noisy_quantiles_lie_within_their_error_bars() {
    let kind = Kind::Quantiles(Bins { range: Range { low: 0.0, high: 1.0 }, count: 256 });
    let values: Vec<f64> = (0..2000).map(|i| (f64::from(i) / 2000.0).powi(2)).collect();
    let exact = sum(&kind, &values);
    let sampler = Sampler::new(Law::Skellam, &Variance::new(400, 1).unwrap());
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let (mut inside, mut squares, rounds) = (0, 0.0, 200);
    for _ in 0..rounds {
        let noisy: Vec<f64> =
            exact.iter().map(|count| count + sampler.sample(&mut rng) as f64).collect();
        let Some(Answer::Quantiles { quantiles }) = answer(&kind, &noisy, values.len(), 20.0)
        else {
            panic!("no quantiles")
        };
        let median = share(&quantiles, 0.5);
        inside += u32::from(median.low <= 0.25 && 0.25 <= median.high);
        squares += (median.value.sqrt() * 2000.0 - 1000.0).powi(2);
    }
    assert!(inside >= 190, "{inside} of {rounds}");
    // The median's rank from 128 leaves alone would be off by 20 √128, or 226.
    let off = (squares / f64::from(rounds)).sqrt();
    assert!(off < 60.0, "off by {off} of 2000");
}

#[test]
fn no_number_and_no_vector_are_told_apart() {
    for first in [1.0, f64::NAN] {
        assert!(encode(&Kind::Vector(Rotation::None), first).unwrap().is_none());
    }
    assert!(answer(&Kind::Vector(Rotation::Hadamard), &[1.0], 3, 0.0).is_none());
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(encode(&Kind::Histogram(AGES), bad).unwrap_err().guard, Guard::Norm);
    }
}

proptest! {
    /// The sensitivity of a query is that of its template, whatever the value.
    #[test]
    fn no_part_is_longer_than_its_template_says(
        value in prop_oneof![any::<f64>().prop_filter("finite", |v| v.is_finite()), -200.0..200.0],
        low in -100.0..100.0f64,
        width in 1e-6..1e6f64,
        levels in 1u32..10,
    ) {
        let range = Range { low, high: low + width };
        let bins = Bins { range, count: 1 << levels };
        for kind in [Kind::Mean(range), Kind::Histogram(bins), Kind::Quantiles(bins)] {
            let template = kind.template().unwrap();
            let part = encode(&kind, value).unwrap().unwrap();
            let squared: f64 = part.iter().map(|value| value * value).sum();
            prop_assert!(squared.sqrt() <= template.clip, "{kind:?}: {squared}");
            if let Some(expected) = template.squared_norm {
                prop_assert_eq!(squared, f64::from(expected));
            }
        }
    }
}
