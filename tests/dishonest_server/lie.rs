//! One message with and without a lie.

use sealsum_protocol::guard::Guard;
use sealsum_protocol::server::Stage;
use sealsum_test_fleet::*;

/// Six devices of which the last colludes (c = 1), about to be told `stage`.
pub(crate) fn six(stage: Stage) -> Liar {
    of(6, &[5], stage)
}

/// So many devices about to be told `stage`.
pub(crate) fn of(n: usize, colluding: &[usize], stage: Stage) -> Liar {
    let mut liar = Liar::new(n, task(n, |_| {}), colluding);
    liar.honestly_until(stage);
    liar
}

/// A ring with these shares, in per mille. Its clip is what its inputs need.
pub(crate) fn ring(n: usize, corrupt: u32, dropout: u32, colluding: &[usize]) -> Liar {
    let ring = task(n, |fields| {
        (fields.corrupt_share_permille, fields.dropout_share_permille) = (corrupt, dropout);
        fields.clip = 8192.0;
    });
    let liar = Liar::new(n, ring, colluding);
    assert!(!liar.cohort.parameters.complete);
    liar
}

/// The same of which only device 0 is real; the others do what is asked of them.
pub(crate) fn ring_around_one(n: usize, stage: Stage) -> Liar {
    let mut liar = ring(n, 10, 200, &(1..n).collect::<Vec<_>>());
    liar.honestly_until(stage);
    liar
}

/// Device 0 takes the message, and in a second, equal scene refuses it with the lie in it, by
/// `guard`, and says nothing ever after.
pub(crate) fn refused<M: Shown>(
    scene: impl Fn() -> Liar,
    honest: impl Fn(&Liar) -> M,
    lie: impl FnOnce(&Liar, &mut M),
    guard: Guard,
) -> Liar {
    let mut control = scene();
    let message = honest(&control);
    control.tell(0, &message).expect("the message without the lie");
    let mut liar = scene();
    let mut message = honest(&liar);
    lie(&liar, &mut message);
    let bytes = message.to_bytes();
    bytes_refused(&mut liar, 0, M::STAGE, &bytes, guard);
    liar
}

/// The same where the lie is in the bytes.
pub(crate) fn refused_as_bytes<M: Shown>(
    scene: impl Fn() -> Liar,
    honest: impl Fn(&Liar) -> M,
    lie: impl FnOnce(&mut Vec<u8>),
    guard: Guard,
) {
    let mut control = scene();
    let bytes = honest(&control).to_bytes();
    control.tell_bytes(0, M::STAGE, &bytes).expect("the message without the lie");
    let mut liar = scene();
    let bytes = changed(&honest(&liar), lie);
    bytes_refused(&mut liar, 0, M::STAGE, &bytes, guard);
}

/// A device refuses these bytes by `guard`, and says nothing ever after.
pub(crate) fn bytes_refused(
    liar: &mut Liar,
    device: usize,
    stage: Stage,
    bytes: &[u8],
    guard: Guard,
) {
    let before = liar.heard[device].count;
    let refusal = liar.tell_bytes(device, stage, bytes).expect_err("the lie was taken");
    assert_eq!(refusal.guard, guard, "{refusal}");
    assert_eq!(liar.heard[device].count, before, "it spoke while it refused");
    assert!(liar.stays_silent(device));
}

/// The exact sum of the inputs of these devices.
pub(crate) fn sum_of(devices: &[usize]) -> Vec<i64> {
    let inputs: Vec<Vec<i64>> = devices.iter().map(|index| units(*index, 5)).collect();
    (0..5).map(|place| inputs.iter().map(|input| input[place]).sum()).collect()
}
