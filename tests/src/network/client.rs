//! Visitors: a client tor, and requests through its SOCKS port.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::base::{Base, CONTROL_PORT, EARLY};
use super::control::Control;
use super::daemon::Daemon;
use crate::process::lock;

/// A client tor of its own.
#[derive(Debug)]
pub struct Client {
    tor: Daemon,
    socks: Mutex<SocketAddr>,
    requests: AtomicU64,
}

/// What came back for a request.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// From the connection to the SOCKS port to the last byte.
    pub time: Duration,
}

impl Page {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) fn start(base: &Base, number: usize) -> Result<Self> {
        let role = format!("SocksPort 127.0.0.1:auto ExtendedErrors\n{CONTROL_PORT}{EARLY}");
        let tor = base.daemon(&format!("client-{number}"), &role)?;
        tor.start()?;
        let socks = Mutex::new(socks_address(&tor)?);
        Ok(Self { tor, socks, requests: AtomicU64::new(0) })
    }

    /// Where tor takes SOCKS requests.
    pub fn socks_address(&self) -> SocketAddr {
        *lock(&self.socks)
    }

    /// Asks `host` for a page over circuits that no other request uses.
    pub fn get(&self, host: &impl Display, port: u16, path: &str) -> Result<Page> {
        self.get_within(REQUEST_TIMEOUT, host, port, path)
    }

    /// As [`Client::get`], with another limit on tor's silence than a minute.
    pub fn get_within(&self, silence: Duration, host: &impl Display, port: u16, path: &str) -> Result<Page> {
        let host = host.to_string();
        let started = Instant::now();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.socks_address())?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        connect(&mut stream, &format!("request-{number}"), &host, port)
            .with_context(|| format!("cannot reach {host} through Tor"))?;
        let (status, body) =
            request(&mut stream, &host, path).with_context(|| format!("no page from {host}"))?;
        Ok(Page { status, body, time: started.elapsed() })
    }

    /// Has tor forget circuits and descriptors (NEWNYM), and waits until it has: at once, or up to 10 seconds after the
    /// last time.
    pub fn forget(&self) -> Result<()> {
        let mut control = self.control()?;
        control.set_events("SIGNAL")?;
        control.send("SIGNAL NEWNYM")?;
        let done = control.wait_event(NEWNYM_TIMEOUT, |event| event.text() == "SIGNAL NEWNYM")?;
        done.with_context(|| self.tor.failure("did not carry out NEWNYM")).map(drop)
    }

    /// Gives tor the cookie of a v2 service that authorizes its clients, in the place of all others that it has.
    pub fn authorize(&self, service: &impl Display, cookie: &str) -> Result<()> {
        self.control()?.send(&format!("SETCONF HidServAuth=\"{service} {cookie}\"")).map(drop)
    }

    /// Kills tor and starts it again; it keeps what it knows of relays, and forgets all descriptors of services.
    pub fn restart(&self) -> Result<()> {
        self.tor.start()?;
        *lock(&self.socks) = socks_address(&self.tor)?;
        self.tor.wait_bootstrapped()
    }

    /// A new control connection.
    pub fn control(&self) -> Result<Control> {
        self.tor.control()
    }

    /// The tor itself.
    pub fn tor(&self) -> &Daemon {
        &self.tor
    }
}

/// tor itself gives an onion service two minutes; a test network needs less than a second.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// tor carries out one NEWNYM in 10 seconds (`MAX_SIGNEWNYM_RATE`).
const NEWNYM_TIMEOUT: Duration = Duration::from_secs(15);
/// Of a page, head included.
const PAGE_MAX: u64 = 256 << 20;

fn socks_address(tor: &Daemon) -> Result<SocketAddr> {
    let listeners = tor.control()?.getinfo("net/listeners/socks")?;
    listeners.trim_matches('"').parse().with_context(|| format!("tor's SOCKS listeners are {listeners}"))
}

/// SOCKS 5 (RFC 1928) with a user name (RFC 1929), by which tor keeps circuits apart (`IsolateSOCKSAuth`).
fn connect(stream: &mut TcpStream, user: &str, host: &str, port: u16) -> Result<()> {
    stream.write_all(&[5, 1, 2])?;
    ensure!(read_array(stream)? == [5, 2], "the SOCKS port takes no user name");
    let mut login = vec![1];
    push_short(&mut login, user)?;
    push_short(&mut login, "x")?;
    stream.write_all(&login)?;
    ensure!(read_array(stream)? == [1, 0], "the SOCKS port refused the user name");
    let mut command = vec![5, 1, 0, 3];
    push_short(&mut command, host)?;
    command.extend(port.to_be_bytes());
    stream.write_all(&command)?;
    let [_, status, _, kind] = read_array(stream)?;
    ensure!(status == 0, "tor's SOCKS port answered {}", meaning(status));
    ensure!(kind == 1, "tor's SOCKS port answered with an address of kind {kind}");
    // The bound address and port, which mean nothing for an onion service.
    read_array::<6>(stream).map(drop)
}

fn push_short(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    bytes.push(text.len().try_into().context("too long for SOCKS")?);
    bytes.extend(text.as_bytes());
    Ok(())
}

fn read_array<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// RFC 1928 and, from 0xF0, tor's `ExtendedErrors` (socks-extensions).
fn meaning(status: u8) -> String {
    let words = match status {
        1 => "general failure",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time-out",
        0xF0 => "descriptor not found",
        0xF1 => "descriptor invalid",
        0xF2 => "introduction failed",
        0xF3 => "rendezvous failed",
        0xF4 => "client authorization missing",
        0xF5 => "client authorization wrong",
        0xF6 => "bad onion address",
        0xF7 => "introduction timed out",
        _ => "an error",
    };
    format!("{words} (0x{status:02X})")
}

fn request(stream: &mut TcpStream, host: &str, path: &str) -> Result<(u16, Vec<u8>)> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(PAGE_MAX).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("the answer has no head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("the answer begins with {head:?}"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    if length.is_some_and(|length| length.parse() != Ok(body.len())) {
        bail!("the page was cut after {} bytes", body.len());
    }
    Ok((status, body))
}
