//! Parameters against the reference tables, and what must be refused.

use sealsum_protocol::parameters::sparse::{Cohort, Degree, belt};
use sealsum_protocol::parameters::{CohortInputs, ParameterError, Parameters};

const REFERENCE: &str = include_str!("vectors/parameters-belt104.txt");

fn inputs(min_contributors: u32, corrupt: u32, dropout: u32) -> CohortInputs {
    CohortInputs {
        min_contributors,
        corrupt_share_permille: corrupt,
        dropout_share_permille: dropout,
    }
}

fn permille(share: &str) -> usize {
    (share.parse::<f64>().expect("a share") * 1000.0).round() as usize
}

/// The reference rows count floor(corrupt_share n) corrupt devices and all survivors as possible
/// neighbours; where no even k works they fall back to the complete graph.
fn finder_as_in_reference(
    n: usize,
    corrupt_share: usize,
    dropout_share: usize,
) -> Option<[usize; 3]> {
    let survivors = (n * (1000 - dropout_share)).div_ceil(1000);
    let corrupt = n * corrupt_share / 1000;
    match (Cohort { n, corrupt, survivors, other_survivors: survivors }).degree() {
        Some(Degree { k, c_max, w_min }) => Some([k, belt(k, c_max), w_min]),
        None => {
            let t = belt(n - 1, corrupt);
            (t < survivors).then_some([n - 1, t, 0])
        }
    }
}

#[test]
fn finder_reproduces_every_reference_row() {
    let mut rows = 0;
    for line in REFERENCE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [n, corrupt, dropout, expected @ ..] = fields.as_slice() else { panic!("{line}") };
        let expected = match expected {
            ["none"] => None,
            [k, t, w] => Some([k, t, w].map(|x| x.parse().expect("a number"))),
            _ => panic!("{line}"),
        };
        let n = n.parse().expect("a size");
        assert_eq!(
            finder_as_in_reference(n, permille(corrupt), permille(dropout)),
            expected,
            "{line}"
        );
        rows += 1;
    }
    assert_eq!(rows, 112);
}

/// (n, c, t, Q, losses if A_min = Q) at corrupt_share 0.1; review of the protocol, second part.
const SMALL_COHORTS: [(usize, usize, usize, usize, usize); 10] = [
    (3, 1, 2, 3, 0),
    (4, 1, 3, 3, 0),
    (5, 1, 3, 4, 1),
    (6, 1, 4, 4, 1),
    (7, 1, 4, 5, 2),
    (8, 1, 5, 5, 2),
    (9, 1, 5, 6, 3),
    (10, 1, 6, 6, 3),
    (11, 2, 7, 7, 3),
    (12, 2, 7, 8, 4),
];

#[test]
fn small_cohorts_have_the_thresholds_and_losses_of_the_review() {
    let at_default = [0, 0, 1, 1, 1, 1, 1, 2, 2, 2];
    let a_min = [3, 4, 4, 5, 6, 7, 8, 8, 9, 10];
    for (index, (n, c, t, q, losses)) in SMALL_COHORTS.into_iter().enumerate() {
        let parameters = Parameters::derive(&inputs(3, 100, 200), n, 0).expect("valid");
        assert_eq!(
            (parameters.corrupt, parameters.t, parameters.quorum, parameters.k),
            (c, t, q, n - 1)
        );
        assert!(parameters.complete && parameters.w_min == 0);
        assert_eq!(parameters.a_min, a_min[index], "n={n}");
        assert_eq!(parameters.tolerated(), at_default[index], "n={n}");

        let dropout = (losses * 1000).div_ceil(n) as u32;
        let most = Parameters::derive(&inputs(1, 100, dropout), n, 0).expect("valid");
        assert_eq!(most.tolerated(), losses, "n={n}");
        let beyond = ((losses + 1) * 1000).div_ceil(n) as u32;
        assert_eq!(
            Parameters::derive(&inputs(1, 100, beyond), n, 0),
            Err(ParameterError::Dropouts { n, corrupt: c, survived: losses, promised: losses + 1 })
        );
    }
}

#[test]
fn a_fifth_corrupt_costs_losses() {
    for (n, corrupt, losses, at_default) in
        [(7, 2, 1, 1), (8, 2, 2, 1), (9, 2, 2, 1), (10, 2, 3, 2), (11, 3, 3, 2), (12, 3, 3, 2)]
    {
        let dropout = (losses * 1000usize).div_ceil(n) as u32;
        let parameters = Parameters::derive(&inputs(1, 200, dropout), n, 0).expect("valid");
        assert_eq!((parameters.corrupt, parameters.tolerated()), (corrupt, losses), "n={n}");
        let default = Parameters::derive(&inputs(1, 200, 200), n, 0).expect("valid");
        assert_eq!(default.tolerated(), at_default, "n={n}");
    }
}

#[test]
fn larger_complete_cohorts_match_the_review() {
    for (n, c, t, q) in [
        (16, 2, 9, 10),
        (20, 2, 11, 12),
        (25, 3, 14, 15),
        (32, 4, 18, 19),
        (40, 4, 22, 23),
        (50, 5, 28, 28),
    ] {
        let parameters = Parameters::derive(&inputs(3, 100, 200), n, 0).expect("valid");
        assert_eq!((parameters.corrupt, parameters.t, parameters.quorum), (c, t, q), "n={n}");
    }
}

#[test]
fn the_demo_cohort_reads_as_promised() {
    let parameters = Parameters::derive(&inputs(6, 100, 350), 12, 0).expect("valid");
    assert_eq!(parameters.a_min, 8);
    assert_eq!(
        parameters.describe(),
        "n=12: survives any 4 losses after the roster closes; 2 corrupt devices assumed; \
         each device is hidden among at least 6"
    );
}

#[test]
fn min_contributors_bounds_the_losses() {
    let parameters = Parameters::derive(&inputs(5, 100, 200), 5, 0).expect("valid");
    assert_eq!((parameters.a_min, parameters.tolerated()), (5, 0));
}

#[test]
fn a_corrupt_fleet_counts_whatever_the_roster() {
    let parameters = Parameters::derive(&inputs(3, 100, 0), 12, 5).expect("valid");
    assert_eq!((parameters.corrupt, parameters.t, parameters.quorum), (5, 9, 9));
    assert_eq!(
        Parameters::derive(&inputs(3, 100, 0), 4, 500),
        Err(ParameterError::TooManyCorrupt { n: 4, corrupt: 4 })
    );
}

#[test]
fn sizes_and_shares_out_of_bounds_are_refused() {
    for n in [0, 2, 10_001] {
        let refused = Parameters::derive(&inputs(1, 100, 200), n, 0);
        assert_eq!(refused, Err(ParameterError::Size { n }));
    }
    let refused = Parameters::derive(&inputs(6, 100, 200), 5, 0);
    assert_eq!(refused, Err(ParameterError::TooFew { n: 5, min_contributors: 6 }));
    for (corrupt, dropout, name) in [(1000, 0, "corrupt_share"), (0, 1000, "dropout_share")] {
        let refused = Parameters::derive(&inputs(3, corrupt, dropout), 10, 0);
        assert_eq!(refused, Err(ParameterError::Share { name, permille: 1000 }));
    }
}

#[test]
fn the_graph_is_sparse_only_above_a_hundred() {
    let hundred = Parameters::derive(&inputs(3, 100, 100), 100, 0).expect("valid");
    assert!(hundred.complete && hundred.k == 99);
    let more = Parameters::derive(&inputs(3, 100, 100), 101, 0).expect("valid");
    assert!(!more.complete && more.k < 100 && more.k.is_multiple_of(2) && more.w_min > 0);
    assert!(2 * more.t > more.k + more.c_max && more.t > more.c_max);
}

#[test]
fn a_thousand_devices_need_about_the_reference_degree() {
    let parameters = Parameters::derive(&inputs(3, 100, 100), 1000, 0).expect("valid");
    assert_eq!(
        (parameters.k, parameters.t, parameters.w_min, parameters.quorum),
        (146, 106, 48, 551)
    );
}

#[test]
fn ten_thousand_devices_have_parameters() {
    for (corrupt, dropout) in [(50, 50), (100, 200), (100, 330), (200, 330)] {
        let parameters = Parameters::derive(&inputs(3, corrupt, dropout), 10_000, 0);
        assert!(parameters.is_ok_and(|p| !p.complete));
    }
}

#[test]
fn the_default_shares_suit_every_cohort() {
    for n in (3..=400).chain((450..=10_000).step_by(550)) {
        let parameters = Parameters::derive(&inputs(3, 100, 200), n, 0).expect("valid");
        assert!(2 * parameters.t > parameters.k + parameters.c_max, "n={n}");
        assert!(2 * parameters.quorum > n + parameters.corrupt, "n={n}");
        assert!(parameters.honest_floor() >= 2 && parameters.a_min >= parameters.quorum, "n={n}");
        assert!(parameters.tolerated() >= n / 5, "n={n}");
    }
}
