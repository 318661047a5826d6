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

impl SocksPort {
    /// Connects to the port; nothing is sent.
    ///
    /// # Errors
    /// Nobody listens there, or this process may not connect.
    pub async fn dial(&self) -> io::Result<Box<dyn Stream>> {
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
    /// The addresses at which tor listens for SOCKS connections.
    ///
    /// # Errors
    /// The reply is not valid, or the connection fails.
    pub async fn socks_ports(&self) -> Result<Vec<SocksPort>, ControlError> {
        const KEY: &str = "net/listeners/socks";
        let message = self.call(Command::new("GETINFO").words(KEY)).await?;
        let value = message.lines.iter().find_map(|line| line.text.strip_prefix(KEY)?.strip_prefix('='));
        let value = value.ok_or_else(|| ControlError::unexpected("GETINFO", &message))?;
        Ok(words(value)
            .unwrap_or_default()
            .iter()
            .filter_map(|word| SocksPort::parse(&word.text()))
            .collect())
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
                "\"unix:/run/tor/socks\" \"[::1]:9150\"",
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
}
