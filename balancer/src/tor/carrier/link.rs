//! Keeps a session with tor open, for ever.

use std::fmt;
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::commands::Tor;
use crate::age::Age;
use crate::confinement::{Confinement, OutOfBounds};
use crate::network::Version;
use crate::tor::control::Closed;
use crate::tor::session::Gate;
use crate::tor::{Endpoint, Events, Greeting, Password, Reconnect, Session, SessionError, TorVersion};

/// A message of the link to the carrier.
pub(super) enum FromTor {
    /// A tor that is bootstrapped; commands go to it until it is lost.
    Ready {
        /// The way to it.
        tor: Tor,
        /// Its events, straight from the connection.
        events: Events,
        /// How long it has been running; `None` if it does not say.
        uptime: Option<Duration>,
    },
    /// The connection is gone; another one is being sought.
    Lost,
    /// Trying again will not help.
    Refused(LinkError),
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Tor is not there, or does not let us in.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This process cannot let itself in.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

impl LinkError {
    /// True where the same attempt would fail again until a person changes something.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Session(error) => error.is_permanent(),
            Self::OutOfBounds(_) => true,
        }
    }

    /// Of this and of what `other` endpoint gave: the error that most needs to be acted upon.
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

/// Where tor is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Tried in this order.
    pub endpoints: Vec<Endpoint>,
    /// If the control port wants one.
    pub password: Option<Password>,
}

impl fmt::Display for Link {
    /// All places, the first to be tried first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        f.write_str(&places.join(" or "))
    }
}

/// When to give tor up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Patience {
    /// When it has never let us in and trying again would not help.
    UntilRefused,
    /// Never.
    Endless,
}

impl Link {
    /// Connects, hands the tor to the carrier, and connects again when it is lost. Ends when nobody listens any more, or when
    /// `patience` does.
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
        while !to.is_closed() {
            match self.session(gate, &confinement).await {
                Ok((session, endpoint)) => {
                    let again =
                        lost.map_or_else(String::new, |lost| format!(" again after {}", Age(lost.elapsed())));
                    info!(%endpoint, version = %session.version, "connected to tor{again}");
                    let Err(error) = self.serve(session, &to, &mut reconnect, &mut ever_ready).await else {
                        return;
                    };
                    lost = Some(Instant::now());
                    warn!(%endpoint, "the connection to tor is lost: {error}");
                    if to.send(FromTor::Lost).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.takes_another_process() || !ever_ready && error.is_permanent() => {
                    // Nobody listening any more is as good an end.
                    let _ = to.send(FromTor::Refused(error)).await;
                    return;
                }
                Err(error) => warn!("{error}"),
            }
            tokio::time::sleep(reconnect.next(OsRng.next_u32())).await;
        }
    }

    /// A session at the first endpoint that lets us in. If none does: [`LinkError::or`] of all.
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
        // While this process can still read everything, no other thread may look a name up: it would stay, and could go on
        // reading.
        let greeting = Greeting::receive(endpoint, gate, confinement.awaits_tor()).await?;
        confinement.meet(greeting.cookie(password))?;
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        Ok(greeting.enter(password, &nonce).await?)
    }

    /// Hands the tor to the carrier when it is ready, and keeps it awake until the connection breaks (an error) or nobody listens
    /// any more.
    async fn serve(
        &self,
        mut session: Session,
        to: &mpsc::Sender<FromTor>,
        reconnect: &mut Reconnect,
        ever_ready: &mut bool,
    ) -> Result<(), SessionError> {
        session.wait_ready().await?;
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
