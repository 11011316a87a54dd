//! Linear algebra over a small prime field, for the oracle of I7.

/// The field: the integers modulo 2^31 - 1.
const P: u64 = (1 << 31) - 1;

/// A number of the field, from 1 or -1.
pub(super) fn unit(plus: bool) -> u64 {
    if plus { 1 } else { P - 1 }
}

/// A basis of all v with v M = 0, where M has these rows: what is left of the identity beside M
/// when M is reduced.
pub(super) fn left_null_space(rows: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    let count = rows.len();
    let beside = |row: usize| (0..count).map(move |column| u64::from(row == column));
    let mut rows: Vec<(Vec<u64>, Vec<u64>)> =
        rows.into_iter().enumerate().map(|(place, row)| (row, beside(place).collect())).collect();
    let columns = rows.first().map_or(0, |(row, _)| row.len());
    let mut done = 0;
    for column in 0..columns {
        let Some(pivot) = (done..count).find(|row| rows[*row].0[column] != 0) else { continue };
        rows.swap(done, pivot);
        let inverse = power(rows[done].0[column], P - 2);
        let (head, tail) = rows.split_at_mut(done + 1);
        let used = &head[done];
        for row in tail.iter_mut().filter(|row| row.0[column] != 0) {
            let factor = row.0[column] * inverse % P;
            subtract(&mut row.0, &used.0, factor);
            subtract(&mut row.1, &used.1, factor);
        }
        done += 1;
    }
    rows.into_iter().skip(done).map(|(_, combination)| combination).collect()
}

fn subtract(row: &mut [u64], used: &[u64], factor: u64) {
    for (value, used) in row.iter_mut().zip(used) {
        *value = (*value + (P - factor) * used) % P;
    }
}

fn power(base: u64, mut exponent: u64) -> u64 {
    let (mut base, mut result) = (base, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % P;
        }
        base = base * base % P;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_that_vanish_are_found_and_no_others() {
        assert_eq!(left_null_space(vec![vec![1, 0], vec![0, 1]]), Vec::<Vec<u64>>::new());
        // Two masks that cancel in the sum of both rows, and a third row with one of its own.
        let rows = vec![vec![unit(true), 0], vec![unit(false), 0], vec![0, 1]];
        assert_eq!(left_null_space(rows), [[1, 1, 0]]);
        assert_eq!(left_null_space(vec![vec![], vec![]]), [[1, 0], [0, 1]]);
    }
}
