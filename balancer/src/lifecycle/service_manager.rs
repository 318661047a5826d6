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
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use crate::runtime::StatusBoard;
use crate::status::{Health, Verdict};

/// The longest time between two looks at the status; it is shorter if the watchdog's time is short.
const LOOK: Duration = Duration::from_secs(5);
/// The time between two looks while the process is starting, when the status changes often and somebody may
/// be waiting for it.
const STARTING_LOOK: Duration = Duration::from_millis(500);
/// The least multiple of the time of a look until the next one: the state of thousands of services takes
/// some tenths of a second.
const REST: u32 = 50;
/// The shortest time between two looks, however short the watchdog's time is.
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
        loop {
            let began = Instant::now();
            let mut pause = patience;
            if let Ok(state) = timeout(patience, board.state()).await {
                let verdict = Verdict::of(&state, onionbalance_process::now());
                self.tell(&format!("STATUS={verdict}\nWATCHDOG=1"));
                pause = pause.min(pause_after(verdict.health, began.elapsed()));
            }
            sleep_until(began + pause).await;
        }
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            debug!("cannot tell the service manager: {error}");
        }
    }
}

/// The time from the beginning of a look that took `cost` to the next one.
fn pause_after(health: Health, cost: Duration) -> Duration {
    let wanted = if health == Health::Starting { STARTING_LOOK } else { LOOK };
    wanted.max(cost.saturating_mul(REST))
}

/// The time within which the watchdog needs a ping; `None` without a watchdog (`sd_watchdog_enabled(3)`).
fn watchdog() -> Option<Duration> {
    let is_for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
    let microseconds = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|number| *number > 0)?;
    is_for_us.then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::confinement::Lacking;
    use crate::signer::Trouble;

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

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_at_once_while_the_process_is_starting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
        let hear = async || {
            let mut heard = [0; 256];
            let length = manager.recv(&mut heard).await.unwrap();
            String::from_utf8(heard[..length].to_vec()).unwrap()
        };
        let (signer, watch) = watch::channel(None);
        let board = StatusBoard::new(watch, Lacking::default());
        let began = Instant::now();
        let heard = async {
            assert_eq!(hear().await, "STATUS=waiting for the signer: no answer yet\nWATCHDOG=1");
            signer.send_replace(Some(Trouble { since: began, problem: "not ready".into() }));
            assert_eq!(hear().await, "STATUS=waiting for the signer: not ready\nWATCHDOG=1");
            assert!(began.elapsed() <= STARTING_LOOK, "{:?}", began.elapsed());
            // The start is over.
            while began.elapsed() < Duration::from_secs(130) {
                hear().await;
            }
            let before = Instant::now();
            hear().await;
            assert!(before.elapsed() >= LOOK, "{:?}", before.elapsed());
        };
        let connected = ServiceManager::connect_to(path.as_os_str()).unwrap();
        tokio::select! {
            () = heard => {}
            () = connected.keep_told(&board) => unreachable!("it goes on forever"),
        }
    }

    #[test]
    fn a_costly_look_is_not_repeated_soon() {
        let after = |health, milliseconds| pause_after(health, Duration::from_millis(milliseconds));
        assert_eq!(after(Health::Starting, 1), STARTING_LOOK);
        assert_eq!(after(Health::Starting, 100), Duration::from_secs(5));
        assert_eq!(after(Health::Ok, 1), LOOK);
    }
}
