//! Raw TPM commands over the TCP port of a software TPM (TPM 2.0 Library, Part 3).
//!
//! Only what a test must do behind the product's back: measure something else, clear the TPM,
//! count lockouts. The product itself never uses this.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const CC_CLEAR: u32 = 0x0126;
const CC_NV_DEFINE_SPACE: u32 = 0x012a;
const CC_CREATE_PRIMARY: u32 = 0x0131;
const CC_SHUTDOWN: u32 = 0x0145;
const CC_START_AUTH_SESSION: u32 = 0x0176;
const CC_GET_CAPABILITY: u32 = 0x017a;
const CC_PCR_EXTEND: u32 = 0x0182;
const ALG_SHA256: u16 = 0x000b;
/// AuthWrite, type counter, AuthRead, NoDA.
const NV_COUNTER: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25;
const RH_OWNER: u32 = 0x4000_0001;
const RH_NULL: u32 = 0x4000_0007;
const RH_PLATFORM: u32 = 0x4000_000c;
const CAP_HANDLES: u32 = 1;
const CAP_TPM_PROPERTIES: u32 = 6;
const PT_LOCKOUT_COUNTER: u32 = 0x020e;
/// TPM_RS_PW with an empty password: handle, empty nonce, no attributes, empty authorisation.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// TPM2_PCR_Extend of the SHA-256 bank.
pub fn extend_pcr(port: u16, pcr: u8, digest: [u8; 32]) {
    let mut body = u32::from(pcr).to_be_bytes().to_vec();
    body.extend(EMPTY_PASSWORD);
    body.extend(1_u32.to_be_bytes());
    body.extend(ALG_SHA256.to_be_bytes());
    body.extend(digest);
    run(port, SESSIONS, CC_PCR_EXTEND, &body);
}

/// TPM2_Clear with platform authorisation, as firmware does it.
pub fn clear(port: u16) {
    let mut body = RH_PLATFORM.to_be_bytes().to_vec();
    body.extend(EMPTY_PASSWORD);
    run(port, SESSIONS, CC_CLEAR, &body);
}

/// TPM2_NV_DefineSpace of a counter that is never incremented: what a power cut leaves of one that
/// was just being made.
pub fn define_counter(port: u16, index: u32) {
    let mut body = RH_OWNER.to_be_bytes().to_vec();
    body.extend(EMPTY_PASSWORD);
    // No authorisation value; the public area: index, name algorithm, attributes, policy, size.
    body.extend([0, 0]);
    body.extend(14_u16.to_be_bytes());
    body.extend(index.to_be_bytes());
    body.extend(ALG_SHA256.to_be_bytes());
    body.extend(NV_COUNTER.to_be_bytes());
    body.extend([0, 0, 0, 8]);
    run(port, SESSIONS, CC_NV_DEFINE_SPACE, &body);
}

/// TPM2_Shutdown(CLEAR): what an operating system says before it turns the power off.
pub fn shutdown(port: u16) {
    run(port, NO_SESSIONS, CC_SHUTDOWN, &[0, 0]);
}

/// How many failed authorisations the TPM counts against dictionary attacks.
pub fn lockout_counter(port: u16) -> u32 {
    let answer = get_capability(port, CAP_TPM_PROPERTIES, PT_LOCKOUT_COUNTER, 1);
    // moreData, capability, count, property, value
    be32(&answer[13..17])
}

/// Loads objects and starts sessions until the TPM has no slot for either, as processes do that
/// are killed again and again on a TPM without a resource manager.
pub fn fill_slots(port: u16) {
    while loaded(port).0 < 3 {
        run(port, SESSIONS, CC_CREATE_PRIMARY, &hmac_primary());
    }
    while loaded(port).1 < 3 {
        run(port, NO_SESSIONS, CC_START_AUTH_SESSION, &unsalted_session());
    }
}

/// TPM2_CreatePrimary in the null hierarchy of the simplest object: an HMAC key.
fn hmac_primary() -> Vec<u8> {
    let mut body = RH_NULL.to_be_bytes().to_vec();
    body.extend(EMPTY_PASSWORD);
    body.extend([0, 4, 0, 0, 0, 0]); // inSensitive: no password, no data
    // sensitiveDataOrigin | userWithAuth | noDA | sign
    let public = [0, 8, 0, 0x0b, 0, 0x04, 0x04, 0x60, 0, 0, 0, 5, 0, 0x0b, 0, 0];
    body.extend([0, public.len() as u8]);
    body.extend(public);
    body.extend([0; 6]); // no outside information, no creation PCRs
    body
}

/// TPM2_StartAuthSession of an HMAC session without salt, binding or cipher.
fn unsalted_session() -> Vec<u8> {
    let mut body = [RH_NULL, RH_NULL].map(u32::to_be_bytes).concat();
    body.extend([0, 16]);
    body.extend([0; 16]); // nonceCaller
    body.extend([0, 0]); // no salt
    body.extend([0, 0, 0x10]); // HMAC session, TPM_ALG_NULL
    body.extend(ALG_SHA256.to_be_bytes());
    body
}

/// How many objects and sessions are loaded: (transient objects, loaded sessions).
pub fn loaded(port: u16) -> (u32, u32) {
    let count = |first| be32(&get_capability(port, CAP_HANDLES, first, 64)[5..9]);
    (count(0x8000_0000), count(0x0200_0000))
}

fn get_capability(port: u16, capability: u32, property: u32, count: u32) -> Vec<u8> {
    let body = [capability, property, count].map(u32::to_be_bytes).concat();
    run(port, NO_SESSIONS, CC_GET_CAPABILITY, &body)
}

/// Sends one command and returns what follows the response header.
fn run(port: u16, tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .unwrap_or_else(|error| panic!("no software TPM on port {port}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes a time-out");
    let size = u32::try_from(10 + body.len()).expect("commands are short");
    let mut command = tag.to_be_bytes().to_vec();
    command.extend(size.to_be_bytes());
    command.extend(code.to_be_bytes());
    command.extend(body);
    stream.write_all(&command).expect("the software TPM takes a command");
    let mut header = [0; 10];
    stream.read_exact(&mut header).expect("the software TPM answers");
    let mut answer = vec![0; be32(&header[2..6]) as usize - header.len()];
    stream.read_exact(&mut answer).expect("the software TPM answers whole");
    let response = be32(&header[6..10]);
    assert_eq!(response, 0, "TPM command {code:#x} failed with {response:#x}");
    answer
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}
