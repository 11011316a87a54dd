//! Lies about masked inputs: chunks too short, too long, missing, with bits behind the last
//! coordinate, of another root; a signature over another U2 or root, or another device's; two
//! inputs; one after the deadline; canaries that do not count one device; words far outside the
//! clip, which no protocol can see.

use sealsum_protocol::bitmap::Bitmap;
use sealsum_protocol::cohort::Cohort;
use sealsum_protocol::error::AbortCode;
use sealsum_protocol::guard::Guard;
use sealsum_protocol::server::{Incoming, Step};
use sealsum_test_fleet::*;

use crate::session::{Ended, Script, Session, Upload, round, six};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
const HONEST: [usize; 5] = [0, 1, 2, 3, 4];

fn uploading(change: impl Fn(&Colluder, &Cohort, &mut Upload) + 'static) -> Script {
    let upload = move |culprit: &Colluder, cohort: &Cohort, mut upload| {
        change(culprit, cohort, &mut upload);
        Some(upload)
    };
    Script { upload: Box::new(upload), ..Script::honest() }
}

/// Changes chunks and signs what came of them.
fn chunks(change: impl Fn(&mut Vec<Vec<u8>>) + 'static) -> Script {
    uploading(move |culprit, cohort, upload| {
        change(&mut upload.chunks);
        upload.message = culprit.masked_input(cohort, &upload.shared, &upload.chunks);
    })
}

/// The input is refused, and so is what the culprit goes on to sign and to answer.
fn assert_lost(ended: &Ended, guard: Guard) {
    ended.assert_exact(&HONEST);
    assert_eq!(ended.refused, [guard, Guard::NotInRoster, Guard::NotInRoster]);
    assert_eq!(ended.dropped(), [(5, Step::Mask)]);
}

#[test]
fn a_chunk_too_short() {
    let short = |chunks: &mut Vec<Vec<u8>>| chunks[0].truncate(16);
    assert_lost(&six(&chunks(short)), Guard::MaskedRoot);
}

#[test]
fn a_chunk_too_long() {
    assert_lost(&six(&chunks(|chunks| chunks[0].push(0))), Guard::MaskedRoot);
}

#[test]
fn no_chunk_at_all() {
    let none = uploading(|_, _, upload| upload.chunks.clear());
    assert_lost(&six(&none), Guard::MaskedRoot);
}

/// The root of no chunks is a root; but chunks that never came are not what was received.
#[test]
fn a_root_over_other_chunks_than_were_sent() {
    let other = uploading(|_, _, upload| upload.message.root.0[0] ^= 1);
    assert_lost(&six(&other), Guard::MaskedRoot);
}

/// 33 bits: five lanes are 165 bits in 21 bytes, and three bits stay zero.
#[test]
fn words_out_of_the_ring() {
    let mut session = Session::new(6, task(6, |fields| fields.ring_bits = 33), &[5]);
    session.run(&chunks(|chunks| {
        let last_of_lanes = chunks[0].len() - 9;
        chunks[0][last_of_lanes] |= 0x80;
    }));
    assert_lost(&session.end(), Guard::MaskedRoot);
    let mut control = Session::new(6, task(6, |fields| fields.ring_bits = 33), &[5]);
    control.run(&Script::honest());
    control.end().assert_exact(&ALL);
}

#[test]
fn a_signature_over_another_set_that_shared() {
    let other = uploading(|culprit, cohort, upload| {
        let other = Bitmap::of(6, [0, 1, 2, 3, 5]);
        upload.chunks = culprit.chunks(cohort, &other, &units(5, 5));
        upload.message = culprit.masked_input(cohort, &other, &upload.chunks);
    });
    assert_lost(&six(&other), Guard::MaskedSignature);
}

#[test]
fn a_signature_by_another_device() {
    let other = uploading(|_, cohort, upload| {
        let other = Colluder::enter(4, &spec(task(6, |_| {}), 1));
        upload.message = other.masked_input(cohort, &upload.shared, &upload.chunks);
    });
    assert_lost(&six(&other), Guard::MaskedSignature);
}

#[test]
fn two_inputs() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let script = Script::honest();
    session.share(&script);
    session.acknowledge(&script);
    let all = Bitmap::of(6, 0..6);
    for values in [units(5, 5), units(4, 5)] {
        let cohort = session.round.cohort().unwrap();
        let Member::Colluding(culprit) = &session.members[5] else { panic!() };
        let chunks = culprit.chunks(cohort, &all, &values);
        let message = culprit.masked_input(cohort, &all, &chunks);
        let received_root = message.root;
        session.send_of_culprit(5, Incoming::Masked { message, received_root });
    }
    session.mask(&script);
    session.check(&script);
    session.unmask(&script);
    let ended = session.end();
    ended.assert_exact(&ALL);
    assert_eq!(ended.refused, [Guard::DifferentResend]);
}

/// 2 added to a canary under the mask: there is no sum, and nobody can tell whose fault it was.
#[test]
fn a_canary_that_counts_three() {
    for at_end in [false, true] {
        let ended = six(&chunks(move |chunks| {
            let start = if at_end { chunks[0].len() - 8 } else { 0 };
            let word: [u8; 8] = chunks[0][start..start + 8].try_into().unwrap();
            let raised = u64::from_le_bytes(word).wrapping_add(2).to_le_bytes();
            chunks[0][start..start + 8].copy_from_slice(&raised);
        }));
        assert_eq!(ended.abort(), (AbortCode::Canary, vec![]));
    }
    round(5, &[], &Script::honest()).assert_exact(&HONEST);
}

/// Masked against other neighbours than it signs for: its masks do not cancel, the canaries say so.
#[test]
fn masks_against_another_set_than_was_signed() {
    let other = uploading(|culprit, cohort, upload| {
        upload.chunks = culprit.chunks(cohort, &Bitmap::of(6, [0, 1, 2, 3, 5]), &units(5, 5));
        upload.message = culprit.masked_input(cohort, &upload.shared, &upload.chunks);
    });
    assert_eq!(six(&other).abort(), (AbortCode::Canary, vec![]));
}

/// The limit: a corrupt device adds what it likes. It moves the sum by its own input only.
#[test]
fn an_input_far_outside_the_clip_moves_the_sum_by_itself_and_no_more() {
    let far = vec![1 << 28; 5];
    let values = far.clone();
    let ended = six(&uploading(move |culprit, cohort, upload| {
        upload.chunks = culprit.chunks(cohort, &upload.shared, &values);
        upload.message = culprit.masked_input(cohort, &upload.shared, &upload.chunks);
    }));
    let honest: Vec<Vec<i64>> = HONEST.iter().map(|index| units(*index, 5)).collect();
    let of_honest = (0..5).map(|place| honest.iter().map(|input| input[place]).sum::<i64>());
    let moved: Vec<i64> = of_honest.zip(far).map(|(sum, far)| sum + far).collect();
    assert_eq!(ended.sum, Some(moved));
}

#[test]
fn an_input_after_the_step_is_over() {
    let mut session = Session::new(6, task(6, |_| {}), &[5]);
    let script = Script { upload: Box::new(|_, _, _| None), ..Script::honest() };
    session.share(&script);
    session.acknowledge(&script);
    session.mask(&script);
    let cohort = session.round.cohort().unwrap();
    let Member::Colluding(culprit) = &session.members[5] else { panic!() };
    let all = Bitmap::of(6, 0..6);
    let chunks = culprit.chunks(cohort, &all, &units(5, 5));
    let message = culprit.masked_input(cohort, &all, &chunks);
    session.upload(5, Upload { chunks, message, shared: all });
    session.check(&script);
    session.unmask(&script);
    assert_lost(&session.end(), Guard::Late);
}
