//! HTTP/1.1 over the agent's Unix socket: one request a connection, all that an application needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;

const PATIENCE: Duration = Duration::from_secs(60);

/// An answer of the agent: status, headers in lower case, body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads the whole answer.
pub(crate) fn request(
    socket: &Path,
    method: &str,
    target: &str,
    body: Option<(&str, &[u8])>,
) -> Outcome<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (media_type, body) = body.unwrap_or(("application/octet-stream", &[]));
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
         Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    read_answer(BufReader::new(stream))
}

fn read_answer(mut stream: impl BufRead) -> Outcome<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).ok_or("the agent closed the connection")?.parse()?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    match answer.header("content-length").map(str::parse::<u64>).transpose()? {
        Some(length) => stream.take(length).read_to_end(&mut answer.body)?,
        None if status == 204 => 0,
        None => stream.read_to_end(&mut answer.body)?,
    };
    Ok(answer)
}
