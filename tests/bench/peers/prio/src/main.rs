//! A sum with two servers under Prio3 SumVec: each client proves that its values are in range.
//!
//! usage: sealsum-bench-prio CLIENTS COORDINATES
//!
//! Prio does more than a masked sum (proofs of range) under another trust (two servers of which one
//! is honest), and has no dropouts to survive. Prints one line of JSON.

use prio::codec::Encode;

use prio::vdaf::prio3::Prio3;
use prio::vdaf::{Aggregatable, Aggregator, Client, Collector, VerifyTransition};
use rustix::time::{ClockId, clock_gettime};

/// Bits of a value.
const BITS: usize = 16;
const CONTEXT: &[u8] = b"sealsum bench";
const VERIFY_KEY: [u8; 32] = [7; 32];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let mut next = || arguments.next().expect("usage: sealsum-bench-prio CLIENTS COORDINATES");
    println!("{}", run(next(), next()));
}

fn run(clients: usize, coordinates: usize) -> serde_json::Value {
    let chunk = (coordinates * BITS).isqrt();
    let vdaf = Prio3::new_sum_vec(2, (1 << BITS) - 1, coordinates, chunk).expect("parameters");
    let mut expected = vec![0u128; coordinates];
    let mut shares = [None, None];
    let (mut client_s, mut server_s, mut uploaded) = (0.0, 0.0, 0);
    for client in 0..clients {
        let values: Vec<u128> =
            (0..coordinates).map(|i| ((i * 31 + client * 17) % (1 << BITS)) as u128).collect();
        expected.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
        let nonce = [client as u8; 16];
        let began = cpu_s();
        let (public, inputs) = vdaf.shard(CONTEXT, &values, &nonce).expect("shares");
        let sent: usize =
            inputs.iter().map(|share| share.get_encoded().expect("bytes").len()).sum();
        client_s += cpu_s() - began;
        uploaded = uploaded.max(sent + public.get_encoded().expect("bytes").len());

        let began = cpu_s();
        let (states, prepared): (Vec<_>, Vec<_>) = inputs
            .iter()
            .enumerate()
            .map(|(id, share)| {
                vdaf.verify_init(&VERIFY_KEY, CONTEXT, id, &(), &nonce, &public, share)
                    .expect("a proof share")
            })
            .unzip();
        let message =
            vdaf.verifier_shares_to_message(CONTEXT, &(), prepared).expect("a proof that holds");
        for (share, state) in shares.iter_mut().zip(states) {
            let step = vdaf.verify_next(CONTEXT, state, message.clone()).expect("an output share");
            let VerifyTransition::Finish(output) = step else { panic!("Prio3 has one round") };
            match share {
                None => *share = Some(vdaf.aggregate(&(), [output]).expect("a sum")),
                Some(sum) => sum.accumulate(&output).expect("a sum"),
            }
        }
        server_s += cpu_s() - began;
    }
    let shares = shares.map(|share| share.expect("a sum"));
    let sum: Vec<u128> = vdaf.unshard(&(), shares, clients).expect("the sum");
    assert_eq!(sum, expected, "the sum is wrong");
    serde_json::json!({
        "peer": "prio",
        "clients": clients,
        "coordinates": coordinates,
        "dropped": 0,
        "cpu_s": client_s + server_s,
        "client_cpu_s": client_s / clients as f64,
        "server_cpu_s": server_s,
        "upload_bytes": uploaded,
        "peak_mb": peak_mb(),
        "error": 0,
    })
}

fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0 / 1e6)
}
