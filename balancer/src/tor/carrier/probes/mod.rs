//! Probes of backends through tor's SOCKS port.
//!
//! Each probe is a task of its own, and has a user name of its own at the SOCKS port: tor makes the
//! introduction and the rendezvous again. The descriptor may be the one that tor has already fetched.

mod http;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::ProbeKind;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::AWAY;
use crate::network::{Probe, ProbeFailure, Probed, RequestId};
use crate::tor::info::InfoKey;
use crate::tor::socks::{SocksPort, VisitError, visit};
use crate::tor::{Connection, ControlError};

/// The most probes at a time. Each builds up to three circuits, and tor builds 32 at a time
/// (`MaxClientCircuitsPending`).
const AT_ONCE: usize = 32;

/// The probes of one carrier.
pub(super) struct Probes {
    /// The configured SOCKS port; `None`: the one that tor names.
    configured: Option<SocksPort>,
    /// `None` while tor is away.
    tor: Option<Tor>,
    running: JoinSet<(RequestId, Probed)>,
}

impl Probes {
    /// No probes yet. They will go through `configured`; `None`: through the SOCKS port that tor names.
    pub(super) fn through(configured: Option<SocksPort>) -> Self {
        Self { configured, tor: None, running: JoinSet::new() }
    }

    /// Notes a new connection to tor.
    pub(super) fn begin(&mut self, tor: &Connection) {
        let port = match &self.configured {
            Some(port) => Port::Configured(port.clone()),
            None => Port::OfTor { tor: tor.clone(), named: Arc::default() },
        };
        self.tor = Some(Tor { control: tor.clone(), port });
    }

    /// Notes the loss of the connection to tor. All probes are void, and end.
    pub(super) fn end(&mut self) {
        self.tor = None;
        self.running = JoinSet::new();
    }

    /// Begins a probe, whose result [`Probes::ended`] returns.
    ///
    /// # Errors
    /// Tor is away, or there are too many probes.
    pub(super) fn begin_one(&mut self, request: RequestId, probe: Probe) -> Result<(), String> {
        let tor = self.tor.clone().ok_or(AWAY)?;
        if self.running.len() >= AT_ONCE {
            return Err(format!(
                "{AT_ONCE} probes are under way at this tor, and no more are made at a time"
            ));
        }
        self.running.spawn(async move { (request, tor.probe(&probe).await) });
        Ok(())
    }

    /// The next result of a probe. The future may be dropped and created again.
    pub(super) async fn ended(&mut self) -> (RequestId, Probed) {
        loop {
            match self.running.join_next().await {
                Some(Ok(ended)) => return ended,
                // A task that panics ends the process (`panic = "abort"`).
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }
}

/// The tor that makes probes.
#[derive(Clone)]
struct Tor {
    control: Connection,
    port: Port,
}

impl Tor {
    async fn probe(&self, probe: &Probe) -> Probed {
        let probed = self.port.probe(probe).await;
        match probed {
            Probed::Failed(_) => {
                self.trouble().await.map_or(probed, |trouble| Probed::Unmade(trouble.to_owned()))
            }
            Probed::Succeeded(_) | Probed::Unmade(_) => probed,
        }
    }

    /// Tor's own trouble, by which a failure says nothing about the backend; `None` if tor does not say that it
    /// has any.
    async fn trouble(&self) -> Option<&'static str> {
        let asked = self.control.get_info([InfoKey::NetworkLiveness, InfoKey::CircuitEstablished]);
        // A connection that fails ends all probes.
        let [network, circuits] = timeout(ANSWERS_WITHIN, asked).await.ok()?.ok()?;
        match (network.as_str(), circuits.as_str()) {
            ("down", _) => Some("tor does not reach its network"),
            (_, "0") => Some("tor has no circuits"),
            _ => None,
        }
    }
}

/// The time within which tor answers a short command, even if many wait before it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Tor's SOCKS port.
#[derive(Clone)]
enum Port {
    Configured(SocksPort),
    /// Those that tor names, at least one. They are asked for once, and again after a failure: tor may have
    /// others since.
    OfTor {
        tor: Connection,
        named: Arc<Mutex<Option<Vec<SocksPort>>>>,
    },
}

/// The reason for which there is no SOCKS port.
#[derive(Debug, thiserror::Error)]
enum NoPort {
    #[error("tor has no SocksPort: set `SocksPort 9050` or `SocksPort unix:PATH` in its torrc")]
    None,
    #[error("cannot ask tor for its SOCKS port: {0}")]
    Control(#[from] ControlError),
}

impl Port {
    async fn probe(&self, probe: &Probe) -> Probed {
        let began = Instant::now();
        let end = began + probe.check.timeout;
        let Ok(socks) = timeout_at(end, self.addresses()).await else {
            return Probed::Unmade("tor does not name its SOCKS port in time".to_owned());
        };
        let socks = match socks {
            Ok(socks) => socks,
            Err(error) => return Probed::Unmade(error.to_string()),
        };
        let stream = match visit(&socks, &probe.address, probe.check.port, end).await {
            Ok(stream) => stream,
            Err(VisitError::Code(code)) => return Probed::Failed(ProbeFailure::of_socks_code(code)),
            Err(VisitError::Silent) => return Probed::Failed(ProbeFailure::Silent),
            Err(error @ (VisitError::Port(_) | VisitError::PortSilent)) => {
                self.forget().await;
                return Probed::Unmade(format!("cannot use tor's SOCKS port: {error}"));
            }
        };
        let answer = match &probe.check.kind {
            ProbeKind::Connect => Ok(()),
            ProbeKind::Http(wanted) => timeout_at(end, http::ask(stream, wanted, &probe.address))
                .await
                .unwrap_or(Err(ProbeFailure::Silent)),
        };
        match answer {
            Ok(()) => Probed::Succeeded(began.elapsed()),
            Err(failure) => Probed::Failed(failure),
        }
    }

    async fn addresses(&self) -> Result<Vec<SocksPort>, NoPort> {
        let (tor, named) = match self {
            Self::Configured(port) => return Ok(vec![port.clone()]),
            Self::OfTor { tor, named } => (tor, named),
        };
        let mut named = named.lock().await;
        if let Some(ports) = &*named {
            return Ok(ports.clone());
        }
        let ports = tor.socks_ports().await?;
        if ports.is_empty() {
            return Err(NoPort::None);
        }
        Ok(named.insert(ports).clone())
    }

    async fn forget(&self) {
        if let Self::OfTor { named, .. } = self {
            *named.lock().await = None;
        }
    }
}
