//! An aggregator that lies, against the shipped decoder and client.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

#[test]
fn an_honest_round_gives_the_sum_and_nothing_else() {
    let mut liar = Liar::new(6, task(6, |_| {}), &[5]);
    liar.honestly_until(Stage::Survivors);
    assert_eq!(liar.leaks(), Leak::Nothing);
    let (everybody, a, d) = (liar.everybody(), liar.set([0, 1, 2, 3, 5]), liar.set([4]));
    for index in 0..4 {
        liar.tell(index, &liar.survivors(index, &a, &d)).unwrap();
    }
    assert!(liar.tell_each(|liar, _| liar.quorum(&everybody, &a, &d)).is_empty());
    assert_eq!(liar.leaks(), Leak::Sum(vec![0, 1, 2, 3]));
    let inputs: Vec<Vec<i64>> = (0..4).map(|index| units(index, 5)).collect();
    let sum = (0..5).map(|place| inputs.iter().map(|input| input[place]).sum()).collect();
    assert_eq!(liar.expose(&[0, 1, 2, 3]), Some(sum));
    assert_eq!(liar.expose(&[0, 1, 2]), None);
}
