//! A small blocking client of tor's control port (control-spec), for tests.
//!
//! It is deliberately not the product's own client: a mistake there must not be hidden from the tests.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use data_encoding::HEXLOWER;

use super::consensus::hsdirs_of;
use crate::onion::Onion;

/// One authenticated connection. Events that come while a reply is awaited are kept for
/// [`Control::wait_event`].
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    received: Vec<u8>,
    events: VecDeque<Message>,
}

/// A reply or an event: one status code and one or more lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Three digits; 650 for an event.
    pub status: u16,
    /// At least one.
    pub lines: Vec<MessageLine>,
}

/// One line of a message, with the data that follow it if its mark was `+`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageLine {
    /// The line without status code and mark.
    pub text: String,
    /// The data, dot-stuffing undone and lines ended by LF.
    pub data: Option<String>,
}

impl Message {
    /// The first line's text, which is the type and the contents of an event.
    pub fn text(&self) -> &str {
        self.lines.first().map_or("", |line| &line.text)
    }

    /// The first line's words.
    pub fn words(&self) -> Vec<&str> {
        self.text().split(' ').collect()
    }
}

impl Control {
    /// Connects and authenticates with the cookie.
    pub fn connect(address: SocketAddr, cookie: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, REPLY_TIMEOUT)
            .with_context(|| format!("cannot connect to the control port {address}"))?;
        stream.set_nodelay(true)?;
        let mut control = Self { stream, received: Vec::new(), events: VecDeque::new() };
        control.send(&format!("AUTHENTICATE {}", HEXLOWER.encode(cookie)))?;
        Ok(control)
    }

    /// Sends one command line and returns the reply; a reply that is not 2yz is an error.
    pub fn send(&mut self, command: &str) -> Result<Message> {
        let verb = command.split(' ').next().unwrap_or(command);
        self.stream.write_all(format!("{command}\r\n").as_bytes()).context("the control port is closed")?;
        let deadline = Instant::now() + REPLY_TIMEOUT;
        loop {
            let message = self.message(deadline)?.with_context(|| format!("tor did not answer {verb}"))?;
            match message.status {
                650 => self.keep(message),
                200..300 => return Ok(message),
                status => bail!("tor refused {verb}: {status} {}", message.text()),
            }
        }
    }

    /// The value of one GETINFO key, of one line or many.
    pub fn getinfo(&mut self, key: &str) -> Result<String> {
        let reply = self.send(&format!("GETINFO {key}"))?;
        let line = reply.lines.into_iter().next().unwrap_or_default();
        let value = line.text.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        let value = value.with_context(|| format!("tor answered GETINFO {key} with {:?}", line.text))?;
        Ok(line.data.unwrap_or_else(|| value.to_owned()))
    }

    /// The fingerprints of the HSDirs in the consensus that tor has, in its order.
    pub fn hsdirs(&mut self) -> Result<Vec<String>> {
        hsdirs_of(&self.getinfo("ns/all")?)
    }

    /// Subscribes to these events only (SETEVENTS).
    pub fn set_events(&mut self, events: &str) -> Result<()> {
        self.send(&format!("SETEVENTS {events}")).map(drop)
    }

    /// Waits for an event that `wanted` accepts; others are dropped. `None` when the time is over.
    pub fn wait_event(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(&Message) -> bool,
    ) -> Result<Option<Message>> {
        let deadline = Instant::now() + timeout;
        loop {
            let message = match self.events.pop_front() {
                Some(event) => event,
                None => match self.message(deadline)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if message.status == 650 && wanted(&message) {
                return Ok(Some(message));
            }
        }
    }

    /// Fetches a descriptor by HSFETCH, past tor's cache: from the HSDir with this fingerprint, or from a
    /// responsible one that tor picks. `what` is an address or, after `v2-` and with a server, the id of a v2
    /// descriptor. `None`: the HSDir does not have it, or tor does not return it.
    pub fn hsfetch(&mut self, what: &str, server: Option<&str>) -> Result<Option<String>> {
        let what = what.strip_suffix(".onion").unwrap_or(what);
        let id = what.strip_prefix("v2-");
        let server = server.map(|fingerprint| format!(" SERVER={fingerprint}")).unwrap_or_default();
        self.set_events("HS_DESC_CONTENT")?;
        self.send(&format!("HSFETCH {what}{server}"))?;
        let event = self.wait_event(
            FETCH_TIMEOUT,
            |event| matches!(event.words().as_slice(), ["HS_DESC_CONTENT", address, of, ..] if *address == what || id == Some(of)),
        )?;
        let event = event.with_context(|| format!("HSFETCH {what} had no answer"))?;
        let data = event.lines.into_iter().next().and_then(|line| line.data);
        Ok(data.filter(|text| !text.trim().is_empty()))
    }

    /// Posts a service's descriptor to these HSDirs. Fails if one of them does not acknowledge it.
    pub fn hspost(&mut self, service: &Onion, hsdirs: &[impl Display], text: &str) -> Result<()> {
        let servers: Vec<_> = hsdirs.iter().map(|hsdir| format!(" SERVER={hsdir}")).collect();
        let address = service.to_string();
        let address = address.trim_end_matches(".onion");
        let hs_address = match service {
            Onion::V2(_) => String::new(),
            Onion::V3(_) => format!(" HSADDRESS={address}"),
        };
        self.set_events("HS_DESC")?;
        let lines: Vec<&str> = text.lines().collect();
        self.send(&format!("+HSPOST{}{hs_address}\r\n{}\r\n.", servers.concat(), lines.join("\r\n")))?;
        for _ in hsdirs {
            let of_upload = |words: &[&str]| matches!(words, ["HS_DESC", "UPLOADED" | "FAILED", of, ..] if *of == address);
            let event = self.wait_event(FETCH_TIMEOUT, |event| of_upload(&event.words()))?;
            let event = event.context("an HSDir did not answer")?;
            ensure!(event.text().contains(" UPLOADED "), "an HSDir refused: {}", event.text());
        }
        Ok(())
    }

    fn keep(&mut self, event: Message) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The next message, or `None` when there is none before the deadline.
    fn message(&mut self, deadline: Instant) -> Result<Option<Message>> {
        loop {
            if let Some((message, length)) = parse_message(&self.received)? {
                self.received.drain(..length);
                return Ok(Some(message));
            }
            ensure!(
                self.received.len() < MESSAGE_MAX,
                "tor sends a message of more than {MESSAGE_MAX} bytes"
            );
            if !self.receive(deadline)? {
                return Ok(None);
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => bail!("tor closed the control connection"),
            Ok(length) => self.received.extend(bytes.iter().take(length)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the control connection broke"),
        }
        Ok(true)
    }
}

/// tor answers at once, but a machine may be busy with many tors.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// A fetch that reaches a dead relay waits for tor's own time-outs.
const FETCH_TIMEOUT: Duration = Duration::from_mins(1);
/// `ns/all` of the largest test network has some 10 kB.
const MESSAGE_MAX: usize = 4 << 20;
const EVENTS_MAX: usize = 10_000;

/// Takes a whole message off the front of `received`, with its length; `None` if it is not yet complete.
fn parse_message(received: &[u8]) -> Result<Option<(Message, usize)>> {
    let mut lines = Lines { rest: received };
    let mut message = Message { status: 0, lines: Vec::new() };
    while let Some(line) = lines.next() {
        let (status, mark, text) = parse_line(&line)?;
        message.status = status;
        let data = match mark {
            '+' => match read_data(&mut lines) {
                Some(data) => Some(data),
                None => return Ok(None),
            },
            _ => None,
        };
        message.lines.push(MessageLine { text, data });
        if mark == ' ' {
            return Ok(Some((message, received.len() - lines.rest.len())));
        }
    }
    Ok(None)
}

fn parse_line(line: &str) -> Result<(u16, char, String)> {
    let parsed = line.split_at_checked(3).and_then(|(status, rest)| {
        let mark = rest.chars().next().filter(|mark| " +-".contains(*mark))?;
        Some((status.parse().ok()?, mark, rest.chars().skip(1).collect()))
    });
    parsed.with_context(|| format!("tor's control port wrote {line:?}"))
}

fn read_data(lines: &mut Lines<'_>) -> Option<String> {
    let mut data = String::new();
    loop {
        let line = lines.next()?;
        if line == "." {
            return Some(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push('\n');
    }
}

/// Takes lines that are whole off the front, without their CR LF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl Iterator for Lines<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        Some(String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, data: Option<&str>) -> MessageLine {
        MessageLine { text: text.to_owned(), data: data.map(str::to_owned) }
    }

    #[test]
    fn reads_replies_of_every_form() {
        let text = "250-version=0.4.9.11\r\n250+ns/all=\r\nr one\r\n..dot\r\n.\r\n250 OK\r\n650 NEXT\r\n";
        let (message, length) = parse_message(text.as_bytes()).unwrap().unwrap();
        let lines =
            vec![line("version=0.4.9.11", None), line("ns/all=", Some("r one\n.dot\n")), line("OK", None)];
        assert_eq!(message, Message { status: 250, lines });
        assert_eq!(text.get(length..), Some("650 NEXT\r\n"));
    }

    #[test]
    fn waits_for_the_end_of_a_message() {
        let text = "650+HS_DESC_CONTENT a b c\r\nhs-descriptor 3\r\n.\r\n650 OK\r\n";
        for cut in 0..text.len() {
            assert_eq!(parse_message(&text.as_bytes()[..cut]).unwrap(), None, "{cut}");
        }
        assert!(parse_message(text.as_bytes()).unwrap().is_some());
    }

    #[test]
    fn refuses_what_is_no_control_protocol() {
        for text in ["HTTP/1.0 200 OK\r\n", "25\r\n", "250?OK\r\n", "\r\n"] {
            parse_message(text.as_bytes()).unwrap_err();
        }
    }
}
