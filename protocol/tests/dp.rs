//! Sensitivity, accounting, noise and ring width against reference values and exact laws.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::accountant::{Charge, FRACTION, Orders, Unbounded};
use sealsum_protocol::dp::clip::clip;
use sealsum_protocol::dp::noise::Sampler;
use sealsum_protocol::dp::planner::{Plan, PlanError};
use sealsum_protocol::dp::rounding::round_stochastic;
use sealsum_protocol::dp::sensitivity::{Sensitivity, SensitivityError};
use sealsum_protocol::dp::variance::{Variance, VarianceError};
use sealsum_protocol::parameters::CohortInputs;

fn close(found: f64, expected: f64, relative: f64) -> bool {
    (found / expected - 1.0).abs() <= relative
}

#[test]
fn nothing_spent_is_nothing_and_integer_orders_cost_a_little() {
    assert_eq!(Charge::default().epsilon(1e-6, Orders::Integer), 0.0);
    for rho in [0.005, 0.1, 1.0, 5.0] {
        let charge = Charge { xi: 0, rho: (rho * (1u64 << FRACTION) as f64) as u64 };
        let (real, integer) =
            (charge.epsilon(1e-6, Orders::Real), charge.epsilon(1e-6, Orders::Integer));
        assert!(integer >= real && close(integer, real, 2e-2), "{rho}: {integer}, {real}");
    }
}

/// (h, d, cs, sigma of a device, rounds, delta, D2, rho, xi, epsilon): Skellam rounds.
type SkellamRow = (usize, usize, f64, u128, usize, f64, f64, f64, f64, f64);
const SKELLAM: [SkellamRow; 11] = [
    (67, 650, 122.0, 43, 30, 1e-5, 123.2122, 0.061273016, 5.973e-08, 10.316265),
    (100, 650, 122.0, 43, 30, 1e-5, 123.2122, 0.041052811, 2.681e-08, 8.014200),
    (50, 650, 122.0, 43, 30, 1e-5, 123.2122, 0.082106067, 1.072e-07, 12.191241),
    (100, 7850, 342.0, 98, 20, 1e-5, 345.4168, 0.062116266, 1.743e-08, 8.057163),
    (100, 50890, 822.0, 600, 50, 1e-6, 830.2658, 0.009574185, 8.381e-11, 5.094684),
    (67, 1048576, 3640.0, 450, 1, 1e-6, 3676.3971, 0.498098286, 1.232e-08, 5.211018),
    (67, 1048576, 3640.0, 4500, 100, 1e-6, 3676.3971, 0.004980982, 1.232e-12, 5.211018),
    (667, 1048576, 3640.0, 143, 1, 1e-6, 3676.3971, 0.495469549, 1.219e-08, 5.195246),
    (667, 1048576, 3640.0, 1430, 1000, 1e-6, 3676.3971, 0.004954695, 1.219e-12, 20.817069),
    (500, 65536, 932.0, 200, 50, 1e-6, 941.3119, 0.022151701, 3.499e-10, 8.285730),
    (30, 16, 16.0, 12, 1, 1e-6, 16.6733, 0.032183374, 1.636e-06, 1.161367),
];

#[test]
fn skellam_rounds_cost_what_the_reference_says() {
    let unit = (1u64 << FRACTION) as f64;
    for (honest, d, units, sigma, rounds, delta, d2, rho, xi, epsilon) in SKELLAM {
        let sensitivity = Sensitivity::new(units, 1, d).expect("valid");
        assert!(sensitivity.l2_squared_units().abs_diff((d2 * d2) as u128) <= 1, "{d}");
        let variance = Variance::new(sigma * sigma, 1).expect("valid");
        let charge = Charge::skellam(&sensitivity, &variance, honest).expect("bounded");
        assert!(close(charge.rho as f64 / unit, rho, 2e-7), "{honest} {d}: {charge:?}");
        assert!(close(charge.xi as f64 / unit, xi, 4e-3), "{honest} {d}: {charge:?}");
        let total = (0..rounds)
            .fold(Charge::default(), |sum, _| sum.checked_add(charge).expect("countable"));
        // The reference takes the orders 2 to 256 and every 64th up to 8192.
        let found = total.epsilon(delta, Orders::Integer);
        assert!(close(found, epsilon, 2e-5), "{honest} {d}: {found}");
    }
}

#[test]
fn charges_are_rounded_up_and_never_wrap() {
    let sensitivity = Sensitivity::new(1.0, 1, 1).expect("valid");
    let faint = Variance::new(1, 1 << 30).expect("valid");
    assert_eq!(Charge::skellam(&sensitivity, &faint, 1), Err(Unbounded));
    let strong = Variance::new((1 << 40) - 1, 1).expect("valid");
    let least = Charge::skellam(&sensitivity, &strong, 10_000).expect("bounded");
    assert!(least.rho >= 1 && least.xi == 1);
    let full = Charge { xi: u64::MAX, rho: 0 };
    assert_eq!(full.checked_add(least), None);
}

#[test]
fn sensitivity_refuses_what_has_no_bound() {
    for clip in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(Sensitivity::new(clip, 1, 1), Err(SensitivityError::Clip(clip)));
    }
    assert!(matches!(Sensitivity::new(f64::NAN, 1, 1), Err(SensitivityError::Clip(_))));
    for scale in [0, 3, 65_535] {
        assert_eq!(Sensitivity::new(1.0, scale, 1), Err(SensitivityError::Scale(scale)));
    }
    assert!(matches!(Sensitivity::new(3.0, 1 << 39, 1), Err(SensitivityError::Units(_))));
    assert_eq!(Sensitivity::new(0.5, 1, 1), Err(SensitivityError::TooCoarse(0.5)));
    assert_eq!(Sensitivity::new(1.0, 1, 0), Err(SensitivityError::Coordinates(0)));
}

#[test]
fn a_device_s_variance_is_rounded_up() {
    // D2² = min((16+4)², 256 + 16/4 + 16 + 2) = 278.
    let sensitivity = Sensitivity::new(16.0, 1, 16).expect("valid");
    assert_eq!(sensitivity.l2_squared_units(), 278);
    let variance = Variance::for_device(2.0, &sensitivity, 10, 2).expect("valid");
    assert_eq!(variance.to_string(), "139/1");
    let third = Variance::for_device(1.0, &sensitivity, 4, 1).expect("valid");
    let error = third.numerator() as f64 / third.denominator() as f64 - 278.0 / 3.0;
    assert!((0.0..1e-5).contains(&error), "{error}");
    let refused = Variance::for_device(1.0, &sensitivity, 2, 2);
    assert_eq!(refused, Err(VarianceError::NobodyHonest { a_min: 2, corrupt: 2 }));
    for z in [0.0, -1.0, f64::INFINITY] {
        let refused = Variance::for_device(z, &sensitivity, 4, 1);
        assert_eq!(refused, Err(VarianceError::Multiplier(z)));
    }
    assert_eq!(Variance::new(0, 1), Err(VarianceError::NotPositive));
    assert!(matches!(Variance::new(1 << 40, 1), Err(VarianceError::TooLarge(_))));
}

fn draw(law: Law, numerator: u128, denominator: u128, count: usize) -> Vec<i64> {
    let sampler = Sampler::new(law, &Variance::new(numerator, denominator).expect("valid"));
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    (0..count).map(|_| sampler.sample(&mut rng)).collect()
}

#[test]
fn split_variances_add_up() {
    let variance = 3.5 * 4096.0 * 4096.0;
    let draws = draw(Law::Skellam, 7 * 4096 * 4096, 2, 40_000);
    let count = draws.len() as f64;
    let mean = draws.iter().sum::<i64>() as f64 / count;
    assert!(mean.abs() < 4.0 * (variance / count).sqrt(), "{mean}");
    let found = draws.iter().map(|x| (*x as f64).powi(2)).sum::<f64>() / count;
    assert!((found / variance - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "{found}");
    let sampler = Sampler::new(Law::Skellam, &Variance::new(9, 1).expect("valid"));
    let mut values = [1000, -1000];
    sampler.add_to(&mut values, &mut ChaCha20Rng::from_seed([1; 32]));
    assert!(values != [1000, -1000] && values[0].abs_diff(1000) < 60);
}

#[test]
fn a_clipped_and_rounded_vector_is_within_the_sensitivity() {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    for (norm, d) in [(0.5, 10), (1.0, 1000), (50.0, 1000), (1e9, 37)] {
        let values: Vec<f64> =
            (0..d).map(|i| norm * f64::from(i % 7 - 3) / f64::from(d).sqrt()).collect();
        let sensitivity = Sensitivity::new(1.0, 64, d as usize).expect("valid");
        let vector = || clip(values.clone(), 1.0);
        let rounded = round_stochastic(vector, 64, &sensitivity, &mut rng).expect("finite");
        let clipped = vector().expect("finite");
        let squares: u128 = rounded.iter().map(|q| q.unsigned_abs().pow(2) as u128).sum();
        assert!(squares <= sensitivity.l2_squared_units());
        let error = clipped.iter().zip(rounded.iter()).map(|(x, q)| (x * 64.0 - *q as f64).abs());
        assert!(error.fold(0.0, f64::max) < 1.0);
    }
}

const COHORT: CohortInputs =
    CohortInputs { min_contributors: 3, corrupt_share_permille: 0, dropout_share_permille: 330 };

fn plan<'a>(sensitivity: &'a Sensitivity, d: usize, z: Option<f64>, devices: u32) -> Plan<'a> {
    Plan {
        coordinates: d,
        sensitivity,
        rotated: false,
        noise_multiplier: z,
        cohort: &COHORT,
        max_devices: devices,
        corrupt_fleet: 0,
    }
}

#[test]
fn without_noise_the_ring_holds_exactly_the_largest_sum() {
    // floor(D2) = 2 units: (1 + 1)² = 4 > 1 + 1/4 + 1 + 1/2 = 2.75, so 1; 127 devices: 127.
    let unit = Sensitivity::new(1.0, 1, 1).expect("valid");
    assert_eq!(unit.largest_coordinate(), 1);
    for (devices, bits) in [(127, 8), (128, 9), (255, 9), (256, 10), (10_000, 15)] {
        assert_eq!(plan(&unit, 1, None, devices).ring_bits(), Ok(bits), "{devices}");
    }
    let wide = Sensitivity::new((1u64 << 40) as f64, 1, 1).expect("valid");
    assert_eq!(plan(&wide, 1, None, 10_000).ring_bits(), Ok(55));
    let huge = plan(&wide, 1, None, u32::MAX).ring_bits();
    assert_eq!(huge, Err(PlanError::TooWide { max_devices: u32::MAX }));
}

#[test]
fn with_noise_the_ring_is_about_what_the_reference_says() {
    // (devices, d, cs, bits without rotation) at z = 1 and a third lost.
    for (devices, d, units, bits) in [
        (50, 1 << 10, 144.0, 15),
        (100, 1 << 16, 932.0, 18),
        (100, 1 << 20, 3640.0, 20),
        (1000, 1 << 20, 3640.0, 23),
        (1000, 1 << 24, 14474.0, 25),
    ] {
        let sensitivity = Sensitivity::new(units, 1, d).expect("valid");
        let found = plan(&sensitivity, d, Some(1.0), devices).ring_bits().expect("fits");
        assert!(found == bits || found == bits + 1, "{devices} {d}: {found}");
        let plain = plan(&sensitivity, d, None, devices).ring_bits().expect("fits");
        assert!(plain <= found);
    }
}

#[test]
fn a_narrow_ring_is_refused_with_the_bits_it_needs() {
    let sensitivity = Sensitivity::new(16.0, 1, 16).expect("valid");
    let plan = plan(&sensitivity, 16, Some(4.0), 100);
    let needed = plan.ring_bits().expect("fits");
    assert_eq!(plan.check(needed), Ok(()));
    let narrow = needed - 1;
    assert_eq!(plan.check(narrow), Err(PlanError::TooNarrow { given: narrow, needed }));
}
