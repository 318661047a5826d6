//! Messages to the service manager (`sd_notify(3)`).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use crate::runtime::StatusBoard;
use crate::status::Verdict;

/// The longest time between two looks at the status; it is shorter if the watchdog's time is short.
const LOOK: Duration = Duration::from_secs(5);
/// The shortest time between two looks at the status.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// The socket of the service manager, if there is one. Sending never blocks: a manager that does not read
/// loses messages.
///
/// Tokio's socket sends nothing before the runtime has polled it for the first time; `READY=1` comes before
/// that, so this one is std's.
#[derive(Clone)]
pub struct ServiceManager(Option<Arc<UnixDatagram>>);

impl ServiceManager {
    /// Connects to `$NOTIFY_SOCKET`, if that is set, while the process may still do so. If that fails,
    /// nothing is ever sent.
    pub fn connect() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self(None);
        };
        Self::connect_to(&path).unwrap_or_else(|error| {
            warn!(
                "cannot tell the service manager at $NOTIFY_SOCKET ({}) anything: {error}",
                path.to_string_lossy()
            );
            Self(None)
        })
    }

    fn connect_to(path: &OsStr) -> io::Result<Self> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(socket))))
    }

    /// Reports that the process is confined and its sockets exist, or that a reload has ended.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Reports that a reload begins. `Type=notify-reload` waits for [`ServiceManager::ready`], and needs the
    /// time at which the reload began (systemd.service(5)).
    pub(super) fn reloading(&self) {
        // Linux always has this clock.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Reports the status of all services, and that the loops that balance them are alive, again and again.
    /// While one of them does not answer, the watchdog gets no ping.
    pub async fn keep_told(&self, board: &StatusBoard) {
        let patience = watchdog().map_or(LOOK, |watchdog| (watchdog / 3).clamp(SHORTEST_LOOK, LOOK));
        let mut looks = interval(patience);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Ok(state) = timeout(patience, board.state()).await {
                let verdict = Verdict::of(&state, onionbalance_process::now());
                self.tell(&format!("STATUS={verdict}\nWATCHDOG=1"));
            }
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            debug!("cannot tell the service manager: {error}");
        }
    }
}

/// The time within which the watchdog needs a ping; `None` without a watchdog (`sd_watchdog_enabled(3)`).
fn watchdog() -> Option<Duration> {
    let is_for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
    let microseconds = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|number| *number > 0)?;
    is_for_us.then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        ServiceManager::connect_to(path.as_os_str()).unwrap().ready();
        let mut heard = [0; 16];
        let length = manager.recv(&mut heard).unwrap();
        assert_eq!(heard.get(..length), Some(b"READY=1".as_slice()));
    }
}
