//! Tor's SOCKS port, by which a client of onion services connects to them.

mod visit;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub use visit::{VisitError, visit};

use super::command::Command;
use super::control::{Connection, ControlError};
use super::words::words;

/// The address at which tor listens for SOCKS connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SocksPort {
    /// A TCP port.
    Tcp(SocketAddr),
    /// An AF_UNIX socket.
    Unix(PathBuf),
}

/// A connection over TCP or an AF_UNIX socket.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first of these ports that accepts a connection; nothing is sent.
///
/// # Errors
/// Nobody listens at any of them, this process may not connect to them, or there are none. The error has the
/// reason for each.
pub async fn dial(ports: &[SocksPort]) -> io::Result<Box<dyn Stream>> {
    let mut failures = Vec::new();
    for port in ports {
        match port.dial().await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(format!("{port}: {error}")),
        }
    }
    Err(io::Error::other(failures.join("; ")))
}

impl SocksPort {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }

    /// Reads an address as tor writes it; `None` for any other text.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => Some(Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

impl fmt::Display for SocksPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Connection {
    /// The addresses at which tor listens for SOCKS connections, AF_UNIX sockets first: a balancer in a
    /// network namespace of its own reaches no others.
    ///
    /// # Errors
    /// The reply is not valid, or the connection fails.
    pub async fn socks_ports(&self) -> Result<Vec<SocksPort>, ControlError> {
        const KEY: &str = "net/listeners/socks";
        let message = self.call(Command::new("GETINFO").words(KEY)).await?;
        let value = message.lines.iter().find_map(|line| line.text.strip_prefix(KEY)?.strip_prefix('='));
        let value = value.ok_or_else(|| ControlError::unexpected("GETINFO", &message))?;
        let named = words(value).unwrap_or_default();
        let mut ports: Vec<_> = named.iter().filter_map(|word| SocksPort::parse(&word.text())).collect();
        ports.sort_by_key(|port| matches!(port, SocksPort::Tcp(_)));
        Ok(ports)
    }
}

#[cfg(test)]
mod tests {
    use tokio::join;

    use super::*;
    use crate::tor::mock::Mock;

    #[tokio::test]
    async fn finds_socks_ports() {
        for (reply, expected) in [
            ("", vec![]),
            ("\"127.0.0.1:9050\"", vec![SocksPort::Tcp("127.0.0.1:9050".parse().unwrap())]),
            (
                "\"[::1]:9150\" \"unix:/run/tor/socks\"",
                vec![SocksPort::Unix("/run/tor/socks".into()), SocksPort::Tcp("[::1]:9150".parse().unwrap())],
            ),
        ] {
            let (mut tor, connection, _events) = Mock::connect();
            let reply = format!("250-net/listeners/socks={reply}\r\n250 OK\r\n");
            let talk = tor.answer("GETINFO net/listeners/socks\r\n", reply);
            let (found, ()) = join!(connection.socks_ports(), talk);
            assert_eq!(found.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn the_first_port_that_accepts_is_used() {
        let place = tempfile::tempdir().unwrap();
        let port = |name: &str| SocksPort::Unix(place.path().join(name));
        let _listener = tokio::net::UnixListener::bind(place.path().join("socks")).unwrap();
        assert!(dial(&[port("gone"), port("socks")]).await.is_ok());
        let Err(error) = dial(&[port("gone"), port("also-gone")]).await else { panic!("nobody is there") };
        assert_eq!(error.to_string().matches("gone: No such file or directory").count(), 2, "{error}");
    }
}
