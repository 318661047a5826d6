//! The socket from the service manager (`sd_listen_fds(3)`), and the messages to it (`sd_notify(3)`).

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
use onionbalance_process::monotonic;

/// The first descriptor that is handed over (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// The listening socket that the service manager handed over to this process; `None` if it did not.
///
/// # Errors
/// It handed over something else: more than one socket, or another kind than a listening AF_UNIX stream.
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
    // SAFETY: the service manager opened it for us, and this is the only place that takes it, once. If it is
    // not open, the calls below fail.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(FIRST) });
    let is_stream = getsockopt(&listener, sockopt::SockType) == Ok(SockType::Stream);
    let listens = getsockopt(&listener, sockopt::AcceptConn) == Ok(true);
    if !is_stream || !listens || listener.local_addr().is_err() {
        return Err(io::Error::other(
            "the service manager handed over something that is not a listening AF_UNIX stream socket: use ListenStream= \
             with a path in onionbalance-signer.socket",
        ));
    }
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(Some(listener))
}

/// The service manager, which is told that the process is ready and that it still runs. Without one nothing
/// is sent.
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// The time between two pings, and the moment of the next; `None` without a watchdog.
    watchdog: Option<(Duration, Instant)>,
}

/// The longest wait for the service manager: it reads at once unless it hangs.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

impl Notifier {
    /// Connects to the service manager; a confined process cannot.
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
        let watchdog = watchdog_interval().map(|interval| (interval, monotonic() + interval));
        Ok(Self { socket: Some(datagrams), watchdog })
    }

    /// Sends this state, such as `READY=1`.
    ///
    /// # Errors
    /// The service manager does not take it.
    pub fn tell(&self, state: &str) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |datagrams| datagrams.send(state.as_bytes()).map(drop))
    }

    /// The time of the next ping; `None` without a watchdog.
    pub fn next_ping(&self) -> Option<Instant> {
        self.watchdog.map(|(_, next)| next)
    }

    /// Sends a ping to the watchdog if one is due at `now`.
    pub fn keep_alive(&mut self, now: Instant) {
        if let Some((interval, next)) = self.watchdog.filter(|(_, next)| *next <= now) {
            self.watchdog = Some((interval, next.max(now) + interval));
            // A lost ping is no problem: another one follows before the watchdog's time is over.
            let _ = self.tell("WATCHDOG=1");
        }
    }
}

/// A third of `WATCHDOG_USEC` (`sd_watchdog_enabled(3)`), so that one lost ping does not end the process.
fn watchdog_interval() -> Option<Duration> {
    let is_for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
    let microseconds: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (is_for_us && microseconds > 0).then(|| Duration::from_micros(microseconds) / 3)
}
