//! The rounds of the reference tables. Each is a line of numbers that its name repeats; epsilon is
//! always the accountant's.

use sealsum_protocol::dp::Law;
use sealsum_protocol::dp::accountant::{Charge, FRACTION, Orders};
use sealsum_protocol::dp::sensitivity::Sensitivity;
use sealsum_protocol::dp::variance::Variance;
use serde_json::{Map, Value, json};

/// z, rounds, delta: the Gaussian mechanism at the noise multiplier z.
const GAUSSIAN: &str = "
    0.5    1 1e-5
    1      1 1e-5
    2      1 1e-5
    4      1 1e-6
    1     10 1e-5
    2     10 1e-5
    4     10 1e-5
    8     10 1e-6
    2    100 1e-5
    4    100 1e-5
    8    100 1e-5
    16   100 1e-6
    8   1000 1e-6
    16  1000 1e-6
    32  1000 1e-6
    20  1500 1e-5";

/// rho, delta. The second block is what buys epsilon 0.5, 1, 2, 4, 8, 1 and 10.
const CONCENTRATED: &str = "
    0.005 1e-6
    0.05  1e-6
    0.1   1e-6
    0.5   1e-6
    1     1e-6
    2     1e-6
    5     1e-6
    1     1e-8
    0.1   1e-9

    0.00664152 1e-6
    0.02435597 1e-6
    0.08815269 1e-6
    0.31106495 1e-6
    1.05235800 1e-6
    0.01497306 1e-9
    1.78269562 1e-5";

/// Honest devices, coordinates, clip in units, deviation of one device, rounds, delta. A clip of
/// one unit is a histogram's: integers that nothing rounds.
const DISTRIBUTED: &str = "
    67     650  122   43   30 1e-5
    100    650  122   43   30 1e-5
    50     650  122   43   30 1e-5
    100   7850  342   98   20 1e-5
    100  50890  822  600   50 1e-6
    67 1048576 3640  450    1 1e-6
    67 1048576 3640 4500  100 1e-6
    667 1048576 3640 143    1 1e-6
    667 1048576 3640 1430 1000 1e-6
    500  65536  932  200   50 1e-6
    30      16   16   12    1 1e-6
    30     256    1    1    1 1e-6
    100   1024    1  0.5    1 1e-6
    1000  1024    1 0.25    1 1e-6
    1000  1024    1  0.1    1 1e-6";

/// All rows, by name.
pub(crate) fn all() -> Map<String, Value> {
    let mut rows = Map::new();
    for [z, rounds, delta] in lines(GAUSSIAN) {
        let charge = zcdp(number(rounds) / (2.0 * number(z).powi(2)));
        let epsilon = charge.epsilon(number(delta), Orders::Real);
        rows.insert(format!("gauss_z{z}_T{rounds}_{delta}"), json!(epsilon));
    }
    for [rho, delta] in lines(CONCENTRATED) {
        let epsilon = zcdp(number(rho)).epsilon(number(delta), Orders::Real);
        rows.insert(format!("zcdp_rho{rho}_{delta}"), json!(epsilon));
    }
    for line in lines(DISTRIBUTED) {
        for (law, short) in [(Law::Skellam, "skellam"), (Law::DiscreteGaussian, "ddg")] {
            let [honest, d, units, sigma, rounds, delta] = line;
            let name = format!("{short}_h{honest}_d{d}_cs{units}_s{sigma}_T{rounds}_{delta}");
            rows.insert(name, json!(distributed(law, line)));
        }
    }
    rows
}

/// A charge of `rho` alone.
fn zcdp(rho: f64) -> Charge {
    Charge { xi: 0, rho: (rho * (1u64 << FRACTION) as f64).ceil() as u64 }
}

/// Epsilon after all rounds, as devices and aggregators reckon; nothing if no charge counts it.
fn distributed(law: Law, line: [&str; 6]) -> Option<f64> {
    let [honest, coordinates, units, sigma, rounds, delta] = line.map(number);
    let sensitivity = if units > 1.0 {
        Sensitivity::new(units, 1, coordinates as usize)
    } else {
        Sensitivity::of_integers(1, coordinates as usize)
    };
    let hundredths = (sigma * 100.0).round() as u128;
    let variance = Variance::new(hundredths.pow(2), 10_000).ok()?;
    let charge =
        law.charge(&sensitivity.ok()?, &variance, honest as usize, coordinates as usize).ok()?;
    let total = (1..rounds as u32).try_fold(charge, |sum, _| sum.checked_add(charge));
    Some(total?.epsilon(delta, Orders::Integer))
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

fn lines<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| !row.is_empty()).map(|row| row.try_into().expect("as many numbers"))
}
