//! The socket as an application sees it, and who may use it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde_json::Value;

use crate::world::World;

/// A user that owns nothing, on every Linux.
const NOBODY: u32 = 65534;

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// One request on a connection of its own; the answer's body is JSON or nothing.
pub(crate) fn request(socket: &Path, method: &str, target: &str, kind: &str, body: &[u8]) -> Reply {
    let (head, body) = exchange(socket, method, target, kind, body);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

/// One request; the head and the body of the answer.
pub(crate) fn exchange(
    socket: &Path,
    method: &str,
    target: &str,
    kind: &str,
    body: &[u8],
) -> (String, Vec<u8>) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&answer)));
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

/// The same request by another user, which only root can arrange: the kernel names the user of
/// the thread that connects.
fn request_as(uid: u32, socket: &Path, target: &str) -> Option<Reply> {
    if !geteuid().is_root() {
        return None;
    }
    let asked = std::thread::scope(|scope| {
        let as_another = scope.spawn(|| {
            set_thread_groups(&[]).unwrap();
            set_thread_gid(Gid::from_raw(uid)).unwrap();
            set_thread_uid(Uid::from_raw(uid)).unwrap();
            request(socket, "GET", target, "", &[])
        });
        as_another.join().unwrap()
    });
    Some(asked)
}

#[test]
fn an_application_submits_and_follows_its_receipt() {
    let world = World::new();
    let device = world.enrolled("device");
    let mut agent = device.start();
    let socket = device.dir.join("api.sock");
    let value = 0.123_456_789_f64;
    let body: Vec<u8> = [value; 5].iter().flat_map(|v| v.to_le_bytes()).collect();

    let queued =
        request(&socket, "POST", "/v1/updates?task=penguins&round=3", "application/x-f64", &body);
    assert_eq!((queued.status, &queued.body["state"]), (202, &"queued".into()), "{}", queued.body);
    let receipt = queued.body["receipt"].as_str().unwrap().to_owned();
    let followed = request(&socket, "GET", &format!("/v1/updates/{receipt}"), "", &[]);
    assert_eq!((followed.status, &followed.body["task"]), (200, &"penguins".into()));
    assert_eq!(request(&socket, "GET", "/v1/updates/none", "", &[]).status, 404);
    let nothing = request(&socket, "GET", "/v1/tasks/penguins/next?wait=0", "", &[]);
    assert_eq!(nothing.status, 204);

    for (target, kind, code) in [
        ("/v1/updates?task=penguins", "text/csv", "file_format"),
        ("/v1/updates?task=penguins", "application/x-npy", "file_format"),
        ("/v1/updates?task=../../etc", "application/x-f64", "usage"),
        ("/v1/updates?task=penguins&wieght=1", "application/x-f64", "body_invalid"),
    ] {
        let refused = request(&socket, "POST", target, kind, &body);
        assert_eq!((refused.status, &refused.body["code"]), (400, &code.into()), "{target} {kind}");
    }

    // At rest it is encrypted, whole or not at all, and survives the agent's death.
    agent.kill();
    assert!(!everything_in(&device.dir).windows(8).any(|window| window == value.to_le_bytes()));
    let _agent = device.start();
    let status = device.run(&["status"]);
    let pending = status.json["data"]["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0]["receipt"], receipt);
}

#[test]
fn only_those_whom_the_configuration_names_are_served() {
    let world = World::new();
    // The socket must be reachable at all for the agent to judge who reaches it.
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let device = world.enrolled("device");
    let socket = device.dir.join("api.sock");
    {
        let mut agent = device.start();
        if let Some(refused) = request_as(NOBODY, &socket, "/v1/status") {
            assert_eq!(
                (refused.status, &refused.body["code"]),
                (403, &"caller_not_allowed".into())
            );
        }
        assert_eq!(request(&socket, "GET", "/v1/status", "", &[]).status, 200);
        agent.terminate(crate::world::STOP_LIMIT);
    }
    device.edit("allow", &format!("[{{ user = \"{NOBODY}\", tasks = [\"penguins\"] }}]"));
    let _agent = device.start();
    if let Some(served) = request_as(NOBODY, &socket, "/v1/status") {
        assert_eq!(served.status, 200);
        let next = |task| request_as(NOBODY, &socket, &format!("/v1/tasks/{task}/next?wait=0"));
        assert_eq!(next("penguins").unwrap().status, 204);
        let refused = next("histogram").unwrap();
        assert_eq!((refused.status, &refused.body["code"]), (403, &"task_not_allowed".into()));
    }
    let stranger = request_as(NOBODY - 1, &socket, "/v1/status");
    assert!(stranger.is_none_or(|refused| refused.status == 403));
}

fn everything_in(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            bytes.extend(everything_in(&entry.path()));
        } else if kind.is_file() {
            bytes.extend(fs::read(entry.path()).unwrap());
        }
    }
    bytes
}
