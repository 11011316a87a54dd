//! What the accountant says of well-known rounds, against published values. `tests/privacy/` computes
//! the same values with another implementation.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

#[path = "../examples/dp_reference/rows.rs"]
mod rows;

use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::accountant::{Charge, Orders};
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::dp::variance::Variance;
use serde_json::Value;

/// Name, epsilon of Rényi accounting, and what privacy loss distributions give, which no sound
/// bound undercuts.
const ROUNDS: [(&str, f64, f64); 60] = [
    ("gauss_z0.5_T1_1e-5", 10.724824, 9.997256),
    ("gauss_z1_T1_1e-5", 4.728387, 4.377178),
    ("gauss_z2_T1_1e-5", 2.165716, 1.993091),
    ("gauss_z4_T1_1e-6", 1.142926, 1.060702),
    ("gauss_z1_T10_1e-5", 19.047260, 17.856587),
    ("gauss_z2_T10_1e-5", 8.078360, 7.511276),
    ("gauss_z4_T10_1e-5", 3.616966, 3.341409),
    ("gauss_z8_T10_1e-6", 1.873129, 1.742964),
    ("gauss_z2_T100_1e-5", 35.067341, 33.103732),
    ("gauss_z4_T100_1e-5", 14.130547, 13.206712),
    ("gauss_z8_T100_1e-5", 6.122631, 5.679587),
    ("gauss_z16_T100_1e-6", 3.090373, 2.883431),
    ("gauss_z8_T1000_1e-6", 27.384122, 25.947735),
    ("gauss_z16_T1000_1e-6", 11.523571, 10.840757),
    ("gauss_z32_T1000_1e-6", 5.151982, 4.821077),
    ("gauss_z20_T1500_1e-5", 10.311345, 9.608352),
    ("zcdp_rho0.005_1e-6", 0.429941, 0.0),
    ("zcdp_rho0.05_1e-6", 1.471595, 0.0),
    ("zcdp_rho0.1_1e-6", 2.141939, 0.0),
    ("zcdp_rho0.5_1e-6", 5.221534, 0.0),
    ("zcdp_rho1_1e-6", 7.766217, 0.0),
    ("zcdp_rho2_1e-6", 11.688596, 0.0),
    ("zcdp_rho5_1e-6", 20.551949, 0.0),
    ("zcdp_rho1_1e-8", 8.977218, 0.0),
    ("zcdp_rho0.1_1e-9", 2.715482, 0.0),
    ("zcdp_rho0.00664152_1e-6", 0.5, 0.0),
    ("zcdp_rho0.02435597_1e-6", 1.0, 0.0),
    ("zcdp_rho0.08815269_1e-6", 2.0, 0.0),
    ("zcdp_rho0.31106495_1e-6", 4.0, 0.0),
    ("zcdp_rho1.05235800_1e-6", 8.0, 0.0),
    ("zcdp_rho0.01497306_1e-9", 1.0, 0.0),
    ("zcdp_rho1.78269562_1e-5", 10.0, 0.0),
    ("skellam_h67_d650_cs122_s43_T30_1e-5", 10.316265, 9.492161),
    ("skellam_h100_d650_cs122_s43_T30_1e-5", 8.014200, 7.444557),
    ("skellam_h50_d650_cs122_s43_T30_1e-5", 12.191241, 11.374241),
    ("skellam_h100_d7850_cs342_s98_T20_1e-5", 8.057163, 7.483519),
    ("skellam_h100_d50890_cs822_s600_T50_1e-6", 5.094684, 4.767129),
    ("skellam_h67_d1048576_cs3640_s450_T1_1e-6", 5.211018, 4.875970),
    ("skellam_h67_d1048576_cs3640_s4500_T100_1e-6", 5.211018, 4.875970),
    ("skellam_h667_d1048576_cs3640_s143_T1_1e-6", 5.195246, 4.861314),
    ("skellam_h667_d1048576_cs3640_s1430_T1000_1e-6", 20.817069, 19.311058),
    ("skellam_h500_d65536_cs932_s200_T50_1e-6", 8.285730, 7.735410),
    ("skellam_h30_d16_cs16_s12_T1_1e-6", 1.161367, 1.077543),
    ("skellam_h30_d256_cs1_s1_T1_1e-6", 0.832243, 0.756283),
    ("skellam_h100_d1024_cs1_s0.5_T1_1e-6", 0.921139, 0.834118),
    ("skellam_h1000_d1024_cs1_s0.25_T1_1e-6", 0.557100, 0.510292),
    ("skellam_h1000_d1024_cs1_s0.1_T1_1e-6", 1.561897, 1.367571),
    ("ddg_h67_d650_cs122_s43_T30_1e-5", 10.316218, 9.492161),
    ("ddg_h100_d650_cs122_s43_T30_1e-5", 8.014172, 7.444557),
    ("ddg_h50_d650_cs122_s43_T30_1e-5", 12.191158, 11.374241),
    ("ddg_h100_d7850_cs342_s98_T20_1e-5", 8.057158, 7.483519),
    ("ddg_h100_d50890_cs822_s600_T50_1e-6", 5.094684, 4.767129),
    ("ddg_h67_d1048576_cs3640_s450_T1_1e-6", 5.211018, 4.875970),
    ("ddg_h67_d1048576_cs3640_s4500_T100_1e-6", 5.211018, 4.875970),
    ("ddg_h667_d1048576_cs3640_s143_T1_1e-6", 5.195246, 4.861314),
    ("ddg_h667_d1048576_cs3640_s1430_T1000_1e-6", 20.817069, 19.311058),
    ("ddg_h500_d65536_cs932_s200_T50_1e-6", 8.285730, 7.735410),
    ("ddg_h30_d16_cs16_s12_T1_1e-6", 1.161224, 1.077543),
    ("ddg_h30_d256_cs1_s1_T1_1e-6", 0.819986, 0.756283),
    ("ddg_h100_d1024_cs1_s0.5_T1_1e-6", 9934.9, 0.834118),
];

/// Noise so small that sums of discrete Gaussians are far from one: no charge counts it.
const UNBOUNDED: [&str; 2] =
    ["ddg_h1000_d1024_cs1_s0.25_T1_1e-6", "ddg_h1000_d1024_cs1_s0.1_T1_1e-6"];

#[test]
fn every_reference_round_costs_what_is_published_and_never_too_little() {
    let mut found = rows::all();
    for (name, expected, least) in ROUNDS {
        let epsilon = found.remove(name).unwrap_or_else(|| panic!("no row {name}"));
        let epsilon = epsilon.as_f64().unwrap_or(f64::INFINITY);
        assert!((epsilon / expected - 1.0).abs() < 2e-5, "{name}: {epsilon}, not {expected}");
        assert!(epsilon > least, "{name}: {epsilon} is below {least}, which is exact");
    }
    for name in UNBOUNDED {
        assert_eq!(found.remove(name), Some(Value::Null), "{name}");
    }
    assert_eq!(found.keys().next(), None, "rows without a reference");
}

/// One coordinate, where the law of the sum can be convolved: honest devices, hundredths of one's
/// deviation, shift, rounds, then epsilon at delta = 1e-6 of sums of discrete Gaussians, exact and
/// as their bound says, and of Skellam sums of the same variance likewise.
type Convolved = (usize, u128, u32, u32, f64, f64, f64, f64);
const CONVOLVED: [Convolved; 9] = [
    (1, 200, 1, 1, 2.275793, 2.419168, 1.642009, 2.794168),
    (10, 100, 1, 1, 1.360179, 1.472187, 1.165626, 1.561738),
    (10, 80, 1, 1, 1.753600, 1.895439, 1.381473, 2.057259),
    (10, 50, 1, 1, 2.790961, 5.476733, 1.943822, 3.731408),
    (100, 50, 1, 1, 0.871761, 10.601097, 0.775748, 0.921023),
    (10, 200, 4, 10, 10.995590, 11.688627, 10.883826, 11.876127),
    (50, 100, 5, 4, 7.285760, 7.768422, 7.159952, 7.858238),
    (100, 200, 20, 1, 4.886811, 5.222429, 4.847642, 5.229491),
    (100, 800, 100, 1, 6.312021, 6.734625, 6.308524, 6.735178),
];

#[test]
fn bounds_hold_against_convolved_laws_and_are_those_published() {
    for (honest, sigma, shift, rounds, exact, bound, skellam_exact, skellam_bound) in CONVOLVED {
        let sensitivity = Sensitivity::of_integers(shift * shift, 1).unwrap();
        let variance = Variance::new(sigma.pow(2), 10_000).unwrap();
        let epsilon = |law: Law, orders| {
            let charge = law.charge(&sensitivity, &variance, honest, 1).unwrap();
            let total = (1..rounds).fold(charge, |sum: Charge, _| sum.checked_add(charge).unwrap());
            total.epsilon(1e-6, orders)
        };
        let row = format!("{honest} {sigma} {shift} {rounds}");
        let gaussian = epsilon(Law::DiscreteGaussian, Orders::Real);
        assert!(gaussian > exact, "{row}: {gaussian} is below {exact}");
        assert!(gaussian / bound - 1.0 < 2e-5 && gaussian / bound > 0.998, "{row}: {gaussian}");
        // The published bound has a second branch, which charges leave out because they must add,
        // and which is lower where the noise of a whole sum is below two units.
        let skellam = epsilon(Law::Skellam, Orders::Integer);
        assert!(skellam > skellam_exact, "{row}: {skellam} is below {skellam_exact}");
        let excess = skellam / skellam_bound - 1.0;
        assert!((-2e-3..7e-2).contains(&excess), "{row}: {skellam}, not {skellam_bound}");
    }
}
