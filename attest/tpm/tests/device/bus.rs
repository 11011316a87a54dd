//! What somebody sees who listens between the processor and the TPM.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealsum_attest::activation::make_credential;
use sealsum_attest::binding::ActivationSecret;
use sealsum_attest::tpm::{Public, name_of};
use sealsum_attest_tpm::{EkAlgorithm, Identity, Tpm};
use sealsum_test_support::{SoftwareTpm, TpmFactory};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const CC_ACTIVATE_CREDENTIAL: u32 = 0x0147;
const CC_CREATE: u32 = 0x0153;
const CC_UNSEAL: u32 = 0x015e;
const CC_START_AUTH_SESSION: u32 = 0x0176;
const RH_NULL: u32 = 0x4000_0007;
const RS_PW: u32 = 0x4000_0009;
/// TPMA_SESSION: the first parameter of the response, and of the command, is encrypted.
const ENCRYPT: u8 = 1 << 6;
const DECRYPT: u8 = 1 << 5;

#[test]
fn secrets_cross_the_bus_in_salted_sessions_only() {
    let chip = TpmFactory::trusted().tpm();
    let bus = Bus::tap(&chip);
    let tpm = Tpm::new(bus.tcti().parse().unwrap());
    for algorithm in [EkAlgorithm::Rsa2048, EkAlgorithm::P256, EkAlgorithm::P384] {
        let (identity, _) = Identity::create(&tpm, algorithm, &[7]).unwrap();
        identity.open_vault().unwrap();
        let secret = *b"an activation secret of 32 bytes";
        let made = make_credential(
            &Public::parse(&identity.state().ek_public.0).unwrap(),
            &name_of(&identity.state().ak_public.0).unwrap(),
            &ActivationSecret::new(Box::new(secret)),
            &mut ChaCha20Rng::seed_from_u64(1),
        )
        .unwrap();
        let opened = identity.activate(&made.blob, &made.encrypted_secret).unwrap();
        assert_eq!(opened.expose(), &secret);
        assert!(!bus.saw(&secret), "{algorithm:?}: the activation secret crossed in clear");
    }
    let commands = bus.commands();
    let salted = commands.iter().filter(|command| command.code == CC_START_AUTH_SESSION);
    assert!(salted.clone().count() >= 9);
    for command in salted {
        assert_ne!(command.u32_at(10), RH_NULL, "a session without a salt");
    }
    let of = |code| commands.iter().filter(move |command| command.code == code);
    assert!(of(CC_UNSEAL).count() >= 3);
    // One handle in front of the authorisation area.
    for unseal in of(CC_UNSEAL) {
        assert_eq!(unseal.attributes_at(14) & ENCRYPT, ENCRYPT, "an unsealed key in clear");
    }
    let sealing = of(CC_CREATE).filter(|command| command.u32_at(18) != RS_PW);
    assert_eq!(sealing.clone().count(), 3);
    for create in sealing {
        assert_eq!(create.attributes_at(14) & DECRYPT, DECRYPT, "a key sealed in clear");
    }
    assert_eq!(of(CC_ACTIVATE_CREDENTIAL).count(), 3);
}

/// A pair of ports that forwards to a software TPM and keeps what passes.
struct Bus {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

struct Command {
    code: u32,
    bytes: Vec<u8>,
}

impl Command {
    fn u32_at(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.bytes[offset..offset + 4].try_into().unwrap())
    }

    /// The attributes of the first session: after the size of the area and the session's handle
    /// and nonce.
    fn attributes_at(&self, area: usize) -> u8 {
        let nonce = usize::from(u16::from_be_bytes([self.bytes[area + 8], self.bytes[area + 9]]));
        self.bytes[area + 10 + nonce]
    }
}

impl Bus {
    fn tap(chip: &SoftwareTpm) -> Self {
        let (commands, control) = loop {
            let commands = TcpListener::bind("127.0.0.1:0").unwrap();
            let next = commands.local_addr().unwrap().port().checked_add(1);
            let control = next.map(|port| TcpListener::bind(("127.0.0.1", port)));
            if let Some(Ok(control)) = control {
                break (commands, control);
            }
        };
        let bus = Self { port: commands.local_addr().unwrap().port(), seen: Arc::default() };
        forward(commands, chip.port(), bus.seen.clone());
        forward(control, chip.port() + 1, Arc::default());
        bus
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    fn saw(&self, secret: &[u8]) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
    }

    /// Everything seen that is a command: a tag, its own length, a code.
    fn commands(&self) -> Vec<Command> {
        let seen = self.seen.lock().unwrap();
        let command = |bytes: &Vec<u8>| {
            let code = u32::from_be_bytes(bytes.get(6..10)?.try_into().ok()?);
            (code >= 0x100).then(|| Command { code, bytes: bytes.clone() })
        };
        seen.iter().filter_map(command).collect()
    }
}

fn forward(listener: TcpListener, to: u16, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, chip) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
            let (back_from, back_to) = (chip.try_clone().unwrap(), client.try_clone().unwrap());
            let (there, back) = (seen.clone(), seen.clone());
            thread::spawn(move || pump(client, chip, &there));
            thread::spawn(move || pump(back_from, back_to, &back));
        }
    });
}

/// The library writes each command, and swtpm each response, in one piece.
fn pump(mut from: TcpStream, mut to: TcpStream, seen: &Mutex<Vec<Vec<u8>>>) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        seen.lock().unwrap().push(buffer[..length].to_vec());
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
