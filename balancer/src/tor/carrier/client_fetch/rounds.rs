//! The visits to services that authorize their clients. They are made together as far as possible, since tor
//! has to forget all descriptors to fetch one of them again.

use std::time::Duration;

use onionbalance_proto::v2::OnionAddress;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_socks::tcp::Socks5Stream;
use tracing::debug;

use crate::tor::socks::{SocksPort, dial};
use crate::tor::{Connection, ControlError};

/// The time between two commands to forget. Tor forgets at most every 10 seconds, otherwise later, by whole
/// seconds (`MAX_SIGNEWNYM_RATE`); a descriptor that it forgets while it is being fetched never comes.
const BETWEEN_FORGETTING: Duration = Duration::from_secs(11);
/// The longest visit: tor asks all six HSDirs, one after the other.
const VISIT: Duration = Duration::from_secs(60);
/// Any port: the connection is given up before the backend is asked to open it.
const PORT: u16 = 80;

/// A visit to be made.
pub(super) struct Order {
    pub(super) address: OnionAddress,
    /// All lines of `HidServAuth`, not only that of the service to visit.
    pub(super) lines: Vec<String>,
    /// True if tor was asked before: it has the descriptor, or will not ask the same HSDirs within 15
    /// minutes.
    pub(super) again: bool,
    /// The visit is given up when the other end is dropped.
    pub(super) stop: oneshot::Receiver<()>,
}

/// The end of a visit that was not given up.
pub(in super::super) struct Visited {
    /// The onion address of the service.
    pub(in super::super) address: String,
    pub(in super::super) result: Result<(), VisitError>,
}

/// The reason for which a visit failed.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum VisitError {
    /// Tor has no SOCKS port.
    #[error(
        "tor has no SocksPort, and gives descriptors of services that authorize their clients to SOCKS clients only: set \
         `SocksPort 9050` or `SocksPort unix:PATH` in its torrc"
    )]
    NoSocksPort,
    /// Tor did not take the cookies.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Tor's SOCKS port cannot be reached, or tor did not find the service.
    #[error("tor's SOCKS port: {0}")]
    Socks(#[from] tokio_socks::Error),
    /// No event came within [`VISIT`].
    #[error("tor did not find it within {} s", VISIT.as_secs())]
    Silent,
}

/// Makes all visits that are ordered, and reports those that are not given up.
pub(super) async fn make(
    tor: Connection,
    mut orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<Visited>,
) {
    // Tor may have descriptors from before this connection, and nothing is being fetched yet.
    let mut forgotten = forget(&tor).await;
    while let Some(first) = orders.recv().await {
        let mut round = vec![first];
        gather(&mut round, &mut orders);
        if round.iter().any(|order| order.again) {
            sleep_until(forgotten + BETWEEN_FORGETTING).await;
            gather(&mut round, &mut orders);
            forgotten = forget(&tor).await;
        }
        let socks = prepare(&tor, &round).await;
        for order in round {
            let (socks, reports) = (socks.clone(), reports.clone());
            tokio::spawn(async move {
                let result = match socks {
                    Ok(socks) => visit(&socks, order.address, order.stop).await,
                    Err(problem) => Some(Err(problem.into())),
                };
                debug!(address = %order.address, ?result, "visited");
                if let Some(result) = result {
                    // The receiver is gone only at the end.
                    let _ = reports.send(Visited { address: order.address.to_string(), result });
                }
            });
        }
    }
}

/// Adds all other orders that have come by now.
fn gather(round: &mut Vec<Order>, orders: &mut mpsc::UnboundedReceiver<Order>) {
    while let Ok(next) = orders.try_recv() {
        round.push(next);
    }
}

async fn forget(tor: &Connection) -> Instant {
    if let Err(error) = tor.forget_descriptors().await {
        // The visits will show the problem.
        debug!("tor did not forget its descriptors: {error}");
    }
    Instant::now()
}

/// The reason for which there cannot be a round.
#[derive(Clone, Debug)]
enum Unprepared {
    NoSocksPort,
    Control(ControlError),
}

impl From<ControlError> for Unprepared {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl From<Unprepared> for VisitError {
    fn from(problem: Unprepared) -> Self {
        match problem {
            Unprepared::NoSocksPort => Self::NoSocksPort,
            Unprepared::Control(error) => Self::Control(error),
        }
    }
}

/// Gives tor the cookies; returns its SOCKS ports, at least one.
async fn prepare(tor: &Connection, round: &[Order]) -> Result<Vec<SocksPort>, Unprepared> {
    let socks = tor.socks_ports().await?;
    if socks.is_empty() {
        return Err(Unprepared::NoSocksPort);
    }
    // The newest order has the newest cookies.
    tor.authorize_client(round.last().map_or(&[], |order| order.lines.as_slice())).await?;
    Ok(socks)
}

/// Connects to the backend; `None` if the visit was given up before it ended.
async fn visit(
    socks: &[SocksPort],
    address: OnionAddress,
    stop: oneshot::Receiver<()>,
) -> Option<Result<(), VisitError>> {
    tokio::select! {
        result = timeout(VISIT, connect(socks, address)) => Some(result.unwrap_or(Err(VisitError::Silent))),
        _ = stop => None,
    }
}

async fn connect(socks: &[SocksPort], address: OnionAddress) -> Result<(), VisitError> {
    let stream = dial(socks).await.map_err(tokio_socks::Error::Io)?;
    Socks5Stream::connect_with_socket(stream, (address.to_string(), PORT)).await?;
    Ok(())
}
