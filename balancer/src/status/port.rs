//! The TCP port of the metrics (`metrics-listen`).
//!
//! A port does not tell its readers apart, so it shows less than a socket: `GET /metrics`, which has the
//! names of services and backends and no address, and nothing to a reader without HTTP. The work for
//! strangers has a bound: the metrics are rendered once a second at most, and [`readers`] bounds the rest.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use onionbalance_proto::config::{ConfigError, METRICS_LISTEN};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::info;

use super::http::Wish;
use super::readers::{self, PATIENCE};
use super::{json, metrics};
use crate::aside::aside;
use crate::config::Configuration;
use crate::runtime::StatusBoard;

/// The longest time for which readers get the same metrics.
const FRESH: Duration = Duration::from_secs(1);
/// The body for every other request.
const USAGE: &str = "GET /metrics\n";

/// The port of the metrics, if there is one.
pub struct MetricsPort(Option<TcpListener>);

/// The reason for which the process does not listen at the port, with its line.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct PortError {
    error: ConfigError,
    is_lasting: bool,
}

impl PortError {
    /// True if the configuration or the unit has to be changed first: a restart would be in vain.
    pub fn is_lasting(&self) -> bool {
        self.is_lasting
    }
}

impl MetricsPort {
    /// Listens at the port that the configuration names. The process must not be confined yet.
    ///
    /// # Errors
    /// Another program listens there, this machine does not have the address, or the process may not listen.
    pub async fn bind(configuration: &Configuration) -> Result<Self, PortError> {
        let Some(address) = configuration.metrics_port() else { return Ok(Self(None)) };
        let cannot = |source: io::Error| {
            let (is_lasting, remedy) = remedy(&source);
            let what = format!("cannot listen at {address}: {source}; {remedy}");
            PortError { error: configuration.error_of_key(METRICS_LISTEN, &what), is_lasting }
        };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        info!("listening on {address} for GET /metrics");
        Ok(Self(Some(listener)))
    }

    /// Sends the metrics of `board` to each reader that asks for them, forever.
    pub async fn serve(&self, board: &StatusBoard) {
        let Some(listener) = &self.0 else { return pending().await };
        let latest = Arc::default();
        let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
        readers::serve(accept, |reader| tell(reader, board.clone(), Arc::clone(&latest))).await;
    }
}

/// The advice for an error of `bind`, and if it takes a change of the configuration or the unit.
fn remedy(error: &io::Error) -> (bool, &'static str) {
    match error.kind() {
        io::ErrorKind::AddrInUse => (false, "stop the program that listens there, or name another port"),
        io::ErrorKind::AddrNotAvailable => (false, "name an address of this machine"),
        io::ErrorKind::PermissionDenied => (
            true,
            "name a port above 1023; under a unit, name the same one in SocketBindAllow= (man systemd.resource-control)",
        ),
        _ if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => (
            true,
            "under the packaged unit, add the drop-in onionbalance-metrics.conf; elsewhere, name an address of the other family",
        ),
        _ => (false, "name an IP address of this machine and a free port"),
    }
}

/// The metrics that readers get, and the time at which they were rendered.
type Latest = Option<(Instant, Arc<str>)>;

/// Answers a reader. One that has not sent its request in time gets nothing.
async fn tell(mut reader: TcpStream, board: StatusBoard, latest: Arc<Mutex<Latest>>) {
    let refused = match Wish::read(&mut reader, PATIENCE).await {
        Wish::Form => return,
        Wish::Metrics => {
            let text = fresh(&mut *latest.lock().await, &board).await;
            return readers::send(&mut reader, Wish::Metrics, &text).await;
        }
        Wish::Status | Wish::Elsewhere => Wish::Elsewhere,
        Wish::Otherwise => Wish::Otherwise,
    };
    readers::send(&mut reader, refused, USAGE).await;
}

/// The metrics of the last second, rendered if there are none. The lock on them makes readers wait for each
/// other, so that one thread renders.
async fn fresh(latest: &mut Latest, board: &StatusBoard) -> Arc<str> {
    if let Some((_, text)) = latest.as_ref().filter(|(rendered, _)| rendered.elapsed() < FRESH) {
        return Arc::clone(text);
    }
    let (state, now) = (board.state().await, onionbalance_process::now());
    let text: Arc<str> = aside(move || metrics::render(Some(&json::report(&state, now)), false)).await.into();
    *latest = Some((Instant::now(), Arc::clone(&text)));
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::confinement::Lacking;

    /// The request of Prometheus 3, as it sends it.
    const PROMETHEUS: &str = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9926\r\nUser-Agent: Prometheus/3.5.0\r\nAccept: \
                              application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,\
                              */*;q=0.1\r\nAccept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";

    /// The port of a configuration with these lines.
    async fn bind(lines: &str) -> Result<MetricsPort, PortError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        fs::write(&path, format!("services:\n- key: front.key\n{lines}")).unwrap();
        MetricsPort::bind(&Configuration::read(&path).unwrap()).await
    }

    /// A port of this address that is free.
    async fn serving(address: &str) -> MetricsPort {
        MetricsPort(Some(TcpListener::bind((address, 0)).await.unwrap()))
    }

    impl MetricsPort {
        fn address(&self) -> SocketAddr {
            self.0.as_ref().unwrap().local_addr().unwrap()
        }
    }

    fn board() -> StatusBoard {
        StatusBoard::new(tokio::sync::watch::channel(None).1, Lacking::default())
    }

    /// The answer to a reader that sends this text and goes on listening.
    async fn answer(port: &MetricsPort, text: &str) -> String {
        let mut stream = TcpStream::connect(port.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }

    async fn while_serving<T>(port: &MetricsPort, client: impl Future<Output = T>) -> T {
        let board = board();
        tokio::select! {
            told = client => told,
            () = port.serve(&board) => unreachable!("it serves forever"),
        }
    }

    #[tokio::test]
    async fn prometheus_gets_the_metrics_by_either_family() {
        for address in ["127.0.0.1", "::1"] {
            if address == "::1" && TcpListener::bind((address, 0)).await.is_err() {
                // A machine without IPv6.
                continue;
            }
            let port = serving(address).await;
            let told = while_serving(&port, answer(&port, PROMETHEUS)).await;
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            let wanted = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
            assert!(head.starts_with(wanted) && head.ends_with("\r\nConnection: close"), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
            assert!(body.contains("\nonionbalance_reachable 1"), "{body}");
        }
    }

    #[tokio::test]
    async fn nothing_but_the_metrics_is_shown() {
        let port = serving("127.0.0.1").await;
        let client = async {
            for (request, wanted) in [
                ("GET /status HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
                ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
                ("HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"),
            ] {
                let told = answer(&port, request).await;
                assert!(told.starts_with(wanted) && told.ends_with("\r\n\r\nGET /metrics\n"), "{told}");
            }
            for request in ["\n", "status\n", "GET /metrics\n"] {
                assert_eq!(answer(&port, request).await, "", "{request:?}");
            }
        };
        while_serving(&port, client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_metrics_are_rendered_once_a_second() {
        let (mut latest, board) = (None, board());
        let first = fresh(&mut latest, &board).await;
        assert!(Arc::ptr_eq(&first, &fresh(&mut latest, &board).await));
        tokio::time::advance(FRESH).await;
        assert!(!Arc::ptr_eq(&first, &fresh(&mut latest, &board).await));
    }

    #[tokio::test]
    async fn a_port_that_cannot_be_had_is_named_with_its_line_and_the_remedy() {
        assert!(bind("").await.unwrap().0.is_none());
        let taken = serving("127.0.0.1").await;
        let error = bind(&format!("metrics-listen: {}\n", taken.address())).await.err().unwrap();
        let wanted = format!(
            "config.yaml:3: metrics-listen: cannot listen at {}: Address already in use (os error 98); stop the program",
            taken.address()
        );
        assert!(error.to_string().contains(&wanted) && !error.is_lasting(), "{error}");
        // An address for documentation (RFC 5737).
        let error = bind("metrics-listen: 192.0.2.1:9926\n").await.err().unwrap();
        assert!(error.to_string().ends_with("; name an address of this machine") && !error.is_lasting());
        let of_unit = |errno: Errno| remedy(&io::Error::from_raw_os_error(errno as i32)).0;
        assert!(of_unit(Errno::EAFNOSUPPORT) && of_unit(Errno::EPERM) && of_unit(Errno::EACCES));
    }
}
