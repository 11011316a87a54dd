//! A TPM that asks for patience, refuses, fails, dies in mid-command, or whose bus lies.

use crate::{connect, new_identity};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sealsum_attest_tpm::{Identity, Tpm, TpmError};
use sealsum_test_support::{Fault, FaultProxy, SoftwareTpm, TpmFactory, wire};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CREATE_PRIMARY: u32 = 0x131;
const LOAD: u32 = 0x157;
const QUOTE: u32 = 0x158;
const SIGN: u32 = 0x15d;
const UNSEAL: u32 = 0x15e;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const GET_RANDOM: u32 = 0x17b;
const PCR_READ: u32 = 0x17e;
const POLICY_PCR: u32 = 0x17f;

/// Part 2, 6.6.3: warnings of format zero.
const OBJECT_MEMORY: u32 = 0x902;
const SESSION_MEMORY: u32 = 0x903;
const YIELDED: u32 = 0x908;
const TESTING: u32 = 0x90a;
const NV_RATE: u32 = 0x920;
const LOCKOUT: u32 = 0x921;
const RETRY: u32 = 0x922;
const FAILURE: u32 = 0x101;

/// The same keys, reached over a bus that a test bends.
fn behind_proxy(chip: &SoftwareTpm) -> (Identity, FaultProxy) {
    let (identity, _) = new_identity(chip);
    let proxy = FaultProxy::new(chip);
    let tpm = Tpm::new(proxy.tcti().parse().unwrap());
    (Identity::load(&tpm, identity.state().clone()).unwrap(), proxy)
}

/// Signs, unseals and quotes: every kind of command that a running agent sends.
fn everything(identity: &Identity) -> Result<(), TpmError> {
    identity.device_key().sign(b"message")?;
    identity.open_vault()?;
    identity.quote(&[1; 32], &[7]).map(drop)
}

/// A plan that answers the first command `code` with `fault` and lets the rest pass.
fn once(code: u32, fault: u32) -> impl FnMut(u32) -> Fault {
    let mut done = false;
    move |command| {
        if command == code && !done {
            done = true;
            return Fault::Code(fault);
        }
        Fault::Pass
    }
}

#[test]
fn a_tpm_that_asks_for_patience_gets_it_at_every_command() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    let commands =
        [CREATE_PRIMARY, LOAD, SIGN, QUOTE, START_AUTH_SESSION, POLICY_PCR, UNSEAL, PCR_READ];
    for command in commands {
        for warning in [RETRY, YIELDED, TESTING, NV_RATE, OBJECT_MEMORY, SESSION_MEMORY] {
            proxy.plan(once(command, warning));
            let done = everything(&identity);
            assert_eq!(done, Ok(()), "command {command:#x}, warning {warning:#x}");
            let asked = proxy.seen().iter().filter(|seen| **seen == command).count();
            assert!(asked >= 2, "command {command:#x} was not sent again");
        }
    }
    assert_eq!(wire::loaded(chip.port()), (0, 0));
}

#[test]
fn patience_ends_and_says_what_it_waited_for() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    for (warning, full) in [(OBJECT_MEMORY, true), (RETRY, false)] {
        proxy.plan(move |command| if command == LOAD { Fault::Code(warning) } else { Fault::Pass });
        let refused = identity.device_key().sign(b"message").unwrap_err();
        assert_eq!(matches!(refused, TpmError::Full { .. }), full, "{refused}");
        assert!(refused.is_transient(), "{refused}");
        let loads = proxy.seen().iter().filter(|seen| **seen == LOAD).count();
        assert!((5..=25).contains(&loads), "{loads} attempts");
    }
    proxy.plan(|_| Fault::Pass);
    everything(&identity).unwrap();
}

#[test]
fn a_locked_out_tpm_is_not_hammered() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    for command in [SIGN, UNSEAL] {
        proxy.plan(move |seen| if seen == command { Fault::Code(LOCKOUT) } else { Fault::Pass });
        let refused = everything(&identity).unwrap_err();
        assert!(matches!(refused, TpmError::Lockout { .. }), "{refused}");
        assert!(!refused.needs_new_keys());
        let tries = proxy.seen().iter().filter(|seen| **seen == command).count();
        assert_eq!(tries, 1, "a locked TPM is asked once, then left alone");
    }
}

#[test]
fn a_tpm_in_failure_mode_is_reported_and_used_again_when_it_is_well() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    proxy.plan(|_| Fault::Code(FAILURE));
    let refused = everything(&identity).unwrap_err();
    assert!(matches!(refused, TpmError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("failure"), "{refused}");
    assert!(identity.tpm().properties().is_err());
    proxy.plan(|_| Fault::Pass);
    everything(&identity).unwrap();
}

/// Changes of a response that keep its length field true, so that the library reads it whole.
fn bend(mut response: Vec<u8>, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut pick = |below: usize| rng.next_u32() as usize % below.max(1);
    match pick(4) {
        0 => {
            let bit = pick(8);
            let at = 6 + pick(response.len() - 6);
            response[at] ^= 1 << bit;
        }
        1 => response.truncate(10 + pick(response.len() - 10)),
        2 => response.extend(std::iter::repeat_n(0xa5, 1 + pick(40))),
        _ => {
            let at = 10 + pick(response.len() - 10);
            let end = (at + 1 + pick(8)).min(response.len());
            response.get_mut(at..end).unwrap_or_default().fill(0xff);
        }
    }
    let size = (response.len() as u32).to_be_bytes();
    response[2..6].copy_from_slice(&size);
    response
}

#[test]
fn a_lying_bus_is_an_error_and_never_a_panic() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    let rounds = 150;
    let mut errors = 0;
    for seed in 0..rounds {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut wait = rng.next_u32() % 24;
        let mut rng = Some(rng);
        proxy.plan(move |_| {
            wait = wait.wrapping_sub(1);
            match rng.take_if(|_| wait == u32::MAX) {
                Some(mut rng) => Fault::Change(Box::new(move |sent| bend(sent, &mut rng))),
                None => Fault::Pass,
            }
        });
        errors += u32::from(everything(&identity).is_err());
    }
    assert!(errors > 20, "only {errors} of {rounds} lies were noticed");
    proxy.plan(|_| Fault::Pass);
    everything(&identity).unwrap();
    assert_eq!(wire::lockout_counter(chip.port()), 0);
}

#[test]
fn an_altered_secret_is_noticed_by_the_session_that_carries_it() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    // Parameters begin after the header and their size; the HMAC is at the end.
    for at in [14, 20, 40, usize::MAX] {
        proxy.plan(move |command| {
            if command != UNSEAL {
                return Fault::Pass;
            }
            Fault::Change(Box::new(move |mut response| {
                let at = at.min(response.len() - 1);
                response[at] ^= 1;
                response
            }))
        });
        assert!(identity.open_vault().is_err(), "byte {at} was changed");
    }
    proxy.plan(|_| Fault::Pass);
    identity.open_vault().unwrap();
}

#[test]
fn twenty_power_cuts_in_mid_command_leave_no_trace() {
    let mut chip = TpmFactory::trusted().tpm();
    let (identity, _) = new_identity(&chip);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    // Whatever a reboot between two commands looks like, no key is called lost
                    // but the sealed one: its PCR is measured a moment after the start.
                    let seen = everything(&identity).err();
                    let lost = seen.as_ref().is_some_and(|error| {
                        error.needs_new_keys() && !matches!(error, TpmError::PcrChanged { .. })
                    });
                    assert!(!lost && seen != Some(TpmError::OtherTpm), "{seen:?}");
                }
            });
        }
        for cut in 0..20_u64 {
            // Another moment of the command each time.
            thread::sleep(Duration::from_millis(20 + cut * 7 % 31));
            chip.kill();
            chip.restart();
        }
        stop.store(true, Ordering::SeqCst);
    });
    let started = Instant::now();
    everything(&identity).unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
    let properties = connect(&chip).properties().unwrap();
    assert_eq!((properties.lockout_counter, properties.locked_out), (0, false));
}

#[test]
fn a_tpm_that_another_program_holds_is_waited_for_so_long_and_no_longer() {
    let chip = TpmFactory::trusted().tpm();
    new_identity(&chip);
    let tpm = Tpm::with_deadline(chip.tcti().parse().unwrap(), Duration::from_millis(400));
    tpm.properties().unwrap();
    // swtpm serves one connection at a time; this one has begun a command and does not end it.
    let mut held = TcpStream::connect(("127.0.0.1", chip.port())).unwrap();
    held.write_all(&[0x80]).unwrap();
    thread::sleep(Duration::from_millis(100));
    let refused = tpm.properties().unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    drop(held);
    let started = Instant::now();
    while tpm.properties().is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not come back");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_others_loaded_is_left_alone() {
    let chip = TpmFactory::trusted().tpm();
    let (identity, proxy) = behind_proxy(&chip);
    proxy.plan(|_| Fault::Pass);
    everything(&identity).unwrap();
    // As many handles are flushed as were made: each one its own.
    let seen = proxy.seen();
    let count = |code: u32| seen.iter().filter(|command| **command == code).count();
    let made = count(CREATE_PRIMARY) + count(LOAD) + count(START_AUTH_SESSION);
    assert_eq!(count(FLUSH_CONTEXT), made, "{seen:x?}");
    assert_eq!(count(GET_RANDOM), 0, "nothing failed");
}
