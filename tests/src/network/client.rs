//! Visitors: a client tor, and requests through its SOCKS port.

use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::base::{Base, CONTROL_PORT, EARLY};
use super::control::Control;
use super::daemon::Daemon;
use super::request::request;
use crate::process::lock;

/// A client tor of its own.
#[derive(Debug)]
pub struct Client {
    tor: Daemon,
    socks: Mutex<SocketAddr>,
    requests: AtomicU64,
}

/// The response to a request.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The time from the connection to the SOCKS port to the last byte.
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

    /// The address of tor's SOCKS port.
    pub fn socks_address(&self) -> SocketAddr {
        *lock(&self.socks)
    }

    /// Asks `host` for a page over circuits that no other request uses.
    pub fn get(&self, host: &impl Display, port: u16, path: &str) -> Result<Page> {
        self.get_within(REQUEST_TIMEOUT, host, port, path)
    }

    /// Asks for a page as [`Client::get`] does, with another limit for tor's silence than a minute.
    pub fn get_within(&self, silence: Duration, host: &impl Display, port: u16, path: &str) -> Result<Page> {
        let host = host.to_string();
        let started = Instant::now();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.socks_address())?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        let (status, body) = request(&mut stream, &format!("request-{number}"), &host, port, path)?;
        Ok(Page { status, body, time: started.elapsed() })
    }

    /// Makes tor forget circuits and descriptors (NEWNYM), and waits for it: tor does it at once, or up to 10
    /// seconds after the last time.
    pub fn forget(&self) -> Result<()> {
        let mut control = self.control()?;
        control.set_events("SIGNAL")?;
        control.send("SIGNAL NEWNYM")?;
        let done = control.wait_event(NEWNYM_TIMEOUT, |event| event.text() == "SIGNAL NEWNYM")?;
        done.with_context(|| self.tor.failure("did not carry out NEWNYM")).map(drop)
    }

    /// Gives tor the cookie of a v2 service that authorizes its clients, instead of all earlier cookies.
    pub fn authorize(&self, service: &impl Display, cookie: &str) -> Result<()> {
        self.control()?.send(&format!("SETCONF HidServAuth=\"{service} {cookie}\"")).map(drop)
    }

    /// Kills tor and starts it again. It keeps the consensus and the relays' descriptors, and forgets all
    /// descriptors of services.
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

fn socks_address(tor: &Daemon) -> Result<SocketAddr> {
    let listeners = tor.control()?.getinfo("net/listeners/socks")?;
    listeners.trim_matches('"').parse().with_context(|| format!("tor's SOCKS listeners are {listeners}"))
}
