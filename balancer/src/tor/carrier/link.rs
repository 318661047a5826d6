//! The link to a tor, which opens a session again and again.

use std::fmt;
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::commands::Tor;
use crate::age::Age;
use crate::confinement::{Confinement, OutOfBounds};
use crate::endpoint::Endpoint;
use crate::network::{Absence, Version};
use crate::repeats::Repeats;
use crate::tor::control::Closed;
use crate::tor::event::Bootstrap;
use crate::tor::session::Gate;
use crate::tor::socks::SocksPort;
use crate::tor::{Events, Greeting, Password, Reconnect, Session, SessionError, TorVersion};

/// The topic of failures to connect.
const CONNECT: &str = "connect";
/// The topic of lost connections. They have no end: a tor that is reached may be lost again at once.
const LOST: &str = "lost";

/// A message of the link to the carrier.
pub(super) enum FromTor {
    /// Tor is bootstrapped and takes commands until it is lost.
    Ready {
        /// The connection for commands.
        tor: Tor,
        /// Tor's events, straight from the connection.
        events: Events,
        /// The time since tor's start; `None` if it does not report it.
        uptime: Option<Duration>,
    },
    /// The connection is lost; the link tries to connect again.
    Lost,
    /// Tor is not reached, or not ready yet; the link goes on.
    Absent(Absence),
    /// The link cannot succeed without a change by a person.
    Refused(LinkError),
}

/// The reason for which there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Tor is not running, or did not accept us.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This process gave up what it would need to connect.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

impl LinkError {
    /// True if the same attempt would fail again until a person changes something.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Session(error) => error.is_permanent(),
            Self::OutOfBounds(_) => true,
        }
    }

    /// Combines this error with the one of another endpoint: the error that most needs an action.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Session(one), Self::Session(other)) => one.or(other).into(),
            (out_of_bounds @ Self::OutOfBounds(_), _) | (_, out_of_bounds) => out_of_bounds,
        }
    }

    /// True if another process would succeed: this one has given up the right for good.
    fn takes_another_process(&self) -> bool {
        matches!(self, Self::OutOfBounds(_))
    }
}

/// The control ports of a tor, and its password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// The endpoints in the order in which they are tried; at least one.
    pub endpoints: Vec<Endpoint>,
    /// The password; `None` if the control port has none.
    pub password: Option<Password>,
    /// The SOCKS port of probes; `None`: the one that tor names.
    pub socks: Option<SocksPort>,
}

impl fmt::Display for Link {
    /// All endpoints in the order in which they are tried.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        f.write_str(&places.join(" or "))
    }
}

/// The condition on which a tor is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Patience {
    /// Given up if it has never accepted us and a retry would not help.
    UntilRefused,
    /// Never given up.
    Endless,
}

impl Link {
    /// Connects, hands the tor to the carrier, and connects again when it is lost. Ends when the receiver is
    /// gone, or as `patience` demands.
    pub(super) async fn run(
        self,
        version: Version,
        patience: Patience,
        confinement: Confinement,
        to: mpsc::Sender<FromTor>,
    ) {
        let gate: Gate = match version {
            Version::V2 => TorVersion::check_v2,
            Version::V3 => TorVersion::check_v3,
        };
        let mut reconnect = Reconnect::default();
        let mut ever_ready = patience == Patience::Endless;
        let mut lost: Option<Instant> = None;
        let mut repeats = Repeats::default();
        while !to.is_closed() {
            match self.session(gate, &confinement).await {
                Ok((session, endpoint)) => {
                    let again =
                        lost.map_or_else(String::new, |lost| format!(" again after {}", Age(lost.elapsed())));
                    info!(%endpoint, version = %session.version, "connected to tor{again}");
                    repeats.end_all(CONNECT, Instant::now());
                    let Err(error) = self.serve(session, &to, &mut reconnect, &mut ever_ready).await else {
                        return;
                    };
                    lost = Some(Instant::now());
                    if let Some(times) = repeats.note(LOST, &error.to_string(), "", Instant::now()) {
                        warn!(problem = "TOR_UNREACHABLE", %endpoint, "the connection to tor is lost: {error}{times}");
                    }
                    if to.send(FromTor::Lost).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.takes_another_process() || !ever_ready && error.is_permanent() => {
                    // A receiver that is gone is an end as well.
                    let _ = to.send(FromTor::Refused(error)).await;
                    return;
                }
                Err(error) => {
                    if let Some(times) = repeats.note(CONNECT, &error.to_string(), "", Instant::now()) {
                        warn!(problem = "TOR_UNREACHABLE", "{error}{times}");
                    }
                    if to.send(FromTor::Absent(Absence::Unreachable(error.to_string()))).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(reconnect.next(OsRng.next_u32())).await;
        }
    }

    /// A session at the first endpoint that accepts us. If none does: the errors combined by
    /// [`LinkError::or`].
    async fn session(
        &self,
        gate: Gate,
        confinement: &Confinement,
    ) -> Result<(Session, &Endpoint), LinkError> {
        let mut failure: Option<LinkError> = None;
        for endpoint in &self.endpoints {
            match self.session_at(endpoint, gate, confinement).await {
                Ok(session) => return Ok((session, endpoint)),
                Err(error) => {
                    failure = Some(match failure {
                        Some(earlier) => earlier.or(error),
                        None => error,
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| SessionError::Control(Closed::ByUs.into()).into()))
    }

    async fn session_at(
        &self,
        endpoint: &Endpoint,
        gate: Gate,
        confinement: &Confinement,
    ) -> Result<Session, LinkError> {
        let password = self.password.as_ref();
        // While this process can still read every file, no other thread may look a name up: the thread would
        // stay, and could go on reading.
        let greeting = Greeting::receive(endpoint, gate, confinement.awaits_tor()).await?;
        confinement.meet(greeting.cookie(password))?;
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        Ok(greeting.enter(password, &nonce).await?)
    }

    /// Hands the tor to the carrier when it is ready, and keeps it awake until the connection breaks (`Err`)
    /// or the receiver is gone (`Ok`).
    async fn serve(
        &self,
        mut session: Session,
        to: &mpsc::Sender<FromTor>,
        reconnect: &mut Reconnect,
        ever_ready: &mut bool,
    ) -> Result<(), SessionError> {
        while let Some(Bootstrap { percent, summary: step }) = session.progress().await? {
            let version = session.version.to_string();
            if to.send(FromTor::Absent(Absence::Starting { version, percent, step })).await.is_err() {
                return Ok(());
            }
        }
        reconnect.reset();
        *ever_ready = true;
        let uptime = session.uptime().await?;
        let tor = Tor { connection: session.connection.clone(), version: session.version };
        let (events, awake) = session.into_events();
        if to.send(FromTor::Ready { tor, events, uptime }).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            error = awake.keep() => Err(error),
            () = to.closed() => Ok(()),
        }
    }
}

/// Hands a tor that is ready to the carrier, and keeps it awake until the connection breaks or the receiver
/// is gone.
pub(super) async fn hand_over(session: Session, to: mpsc::Sender<FromTor>) {
    let tor = Tor { connection: session.connection.clone(), version: session.version };
    let (events, awake) = session.into_events();
    if to.send(FromTor::Ready { tor, events, uptime: None }).await.is_err() {
        return;
    }
    tokio::select! {
        error = awake.keep() => {
            warn!("the connection to tor is lost: {error}");
            // A receiver that is gone is an end as well.
            let _ = to.send(FromTor::Lost).await;
        }
        () = to.closed() => {}
    }
}
