//! A bad bus: stands between the product and a software TPM and answers in its place.
//!
//! The TPM library connects anew for each command, so a connection carries one command and its
//! response, both with the header of TPM 2.0 Library, Part 1, 18: tag, size, code.

use crate::swtpm::{SoftwareTpm, free_pair};
use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const HEADER: usize = 10;
const NO_SESSIONS: u16 = 0x8001;
/// Pairs of ports tried before giving up.
const PORT_ATTEMPTS: u32 = 50;

/// What becomes of one command.
pub enum Fault {
    /// The TPM gets it and its response comes back.
    Pass,
    /// The TPM does not get it; this response code comes back.
    Code(u32),
    /// The TPM gets it; what comes back was changed on the way.
    Change(Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>),
}

type Plan = Box<dyn FnMut(u32) -> Fault + Send>;

/// The bad bus of one software TPM. Its threads end with the process.
pub struct FaultProxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
    seen: Arc<Mutex<Vec<u32>>>,
}

impl FaultProxy {
    /// A bus that passes everything, until it is told otherwise.
    ///
    /// # Panics
    /// When there are no two free neighbouring ports.
    pub fn new(tpm: &SoftwareTpm) -> Self {
        let (port, commands, control) = (0..PORT_ATTEMPTS)
            .find_map(|_| {
                let port = free_pair()?;
                let commands = TcpListener::bind(("127.0.0.1", port)).ok()?;
                Some((port, commands, TcpListener::bind(("127.0.0.1", port + 1)).ok()?))
            })
            .expect("two free neighbouring ports");
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| Fault::Pass)));
        let proxy = Self { port, plan, seen: Arc::default() };
        let (plan, seen, behind) = (proxy.plan.clone(), proxy.seen.clone(), tpm.port());
        thread::spawn(move || {
            for client in commands.incoming().flatten() {
                let (plan, seen) = (plan.clone(), seen.clone());
                // A connection that breaks is one of the faults.
                thread::spawn(move || drop(relay(client, behind, &plan, &seen)));
            }
        });
        thread::spawn(move || {
            for client in control.incoming().flatten() {
                thread::spawn(move || drop(splice(client, behind + 1)));
            }
        });
        proxy
    }

    /// The connection string.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// From now on `plan` decides, by the code of each command.
    pub fn plan(&self, plan: impl FnMut(u32) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(plan);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The codes of the commands that came since the last plan, oldest first.
    pub fn seen(&self) -> Vec<u32> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn relay(
    mut client: TcpStream,
    behind: u16,
    plan: &Mutex<Plan>,
    seen: &Mutex<Vec<u32>>,
) -> std::io::Result<()> {
    loop {
        let command = read_message(&mut client)?;
        let code = be32(&command[6..HEADER]);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(code);
        let fault = plan.lock().unwrap_or_else(PoisonError::into_inner)(code);
        let response = match fault {
            Fault::Code(code) => refusal(code),
            Fault::Pass => ask(behind, &command)?,
            Fault::Change(change) => change(ask(behind, &command)?),
        };
        client.write_all(&response)?;
    }
}

fn ask(port: u16, command: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tpm = TcpStream::connect(("127.0.0.1", port))?;
    tpm.write_all(command)?;
    read_message(&mut tpm)
}

fn refusal(code: u32) -> Vec<u8> {
    let mut response = NO_SESSIONS.to_be_bytes().to_vec();
    response.extend((HEADER as u32).to_be_bytes());
    response.extend(code.to_be_bytes());
    response
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message)?;
    message.resize((be32(&message[2..6]) as usize).clamp(HEADER, 1 << 16), 0);
    stream.read_exact(&mut message[HEADER..])?;
    Ok(message)
}

/// The control channel goes through as it is.
fn splice(client: TcpStream, behind: u16) -> std::io::Result<()> {
    let tpm = TcpStream::connect(("127.0.0.1", behind))?;
    let (mut from_client, mut to_tpm) = (client.try_clone()?, tpm.try_clone()?);
    thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_tpm);
        let _ = to_tpm.shutdown(Shutdown::Write);
    });
    let (mut from_tpm, mut to_client) = (tpm, client);
    copy(&mut from_tpm, &mut to_client)?;
    to_client.shutdown(Shutdown::Both)
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}
