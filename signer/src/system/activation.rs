//! The socket that the service manager listens at for us (`sd_listen_fds(3)`), and what it is told (`sd_notify(3)`).

#![expect(unsafe_code, reason = "an inherited file descriptor is a bare number")]

use std::env;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};

/// The first descriptor that is handed over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// The listening socket, if the service manager has handed one over to this process.
///
/// # Errors
/// It has handed over something else: more than one socket, or another kind than a listening AF_UNIX stream.
pub fn listener() -> io::Result<Option<UnixListener>> {
    let is_for_us = env::var("LISTEN_PID").is_ok_and(|pid| pid == process::id().to_string());
    let count = env::var("LISTEN_FDS").unwrap_or_default();
    if !is_for_us || count.is_empty() {
        return Ok(None);
    }
    if count != "1" {
        let what = format!("{count} sockets: give onionbalance-signer.service exactly one");
        return Err(io::Error::other(format!("the service manager handed over {what}")));
    }
    // SAFETY: the service manager opened it for us and this is the only place that takes it, once. Where it is not open,
    // the calls below say so.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(FIRST) });
    let is_stream = getsockopt(&listener, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&listener, sockopt::AcceptConn) == Ok(true);
    if !is_stream || !listens || listener.local_addr().is_err() {
        return Err(io::Error::other(
            "the service manager handed over something that is no listening AF_UNIX stream socket: use ListenStream= \
             with a path in onionbalance-signer.socket",
        ));
    }
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(Some(listener))
}

/// The service manager, which hears that the process is ready and that it still runs; or none.
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// The time between two pings, and the moment of the next.
    watchdog: Option<(Duration, Instant)>,
}

/// The service manager reads at once, or hangs itself.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

impl Notifier {
    /// Connects, while that is still possible.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` names a socket that cannot be reached.
    pub fn connect() -> io::Result<Self> {
        let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self { socket: None, watchdog: None });
        };
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&socket)?,
        };
        let datagrams = UnixDatagram::unbound()?;
        datagrams.set_write_timeout(Some(TAKEN_WITHIN))?;
        datagrams.connect_addr(&address)?;
        let watchdog = watchdog_interval().map(|interval| (interval, Instant::now() + interval));
        Ok(Self { socket: Some(datagrams), watchdog })
    }

    /// Says this much, such as `READY=1`.
    ///
    /// # Errors
    /// The service manager does not take it.
    pub fn tell(&self, state: &str) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |datagrams| datagrams.send(state.as_bytes()).map(drop))
    }

    /// The next moment at which the watchdog wants to hear from the process.
    pub fn next_ping(&self) -> Option<Instant> {
        self.watchdog.map(|(_, next)| next)
    }

    /// Tells the watchdog that the process still runs, if it is time for that.
    pub fn keep_alive(&mut self, now: Instant) {
        if let Some((interval, next)) = self.watchdog.filter(|(_, next)| *next <= now) {
            self.watchdog = Some((interval, next.max(now) + interval));
            // There is another ping before the watchdog loses its patience.
            let _ = self.tell("WATCHDOG=1");
        }
    }
}

/// A third of `WATCHDOG_USEC` (`sd_watchdog_enabled(3)`), so that one lost message is no reason to end the process.
fn watchdog_interval() -> Option<Duration> {
    let is_for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
    let microseconds: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (is_for_us && microseconds > 0).then(|| Duration::from_micros(microseconds) / 3)
}
