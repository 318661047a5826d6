//! Connections to control ports.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::control::{Connection, Events};
use crate::endpoint::Endpoint;

/// The longest wait for a connection; on one machine it takes less than a millisecond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a control port; nothing is sent yet.
///
/// # Errors
/// The endpoint cannot be reached within 10 s, or its name has no address.
pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<(Connection, Events)> {
    let connecting = async {
        Ok(match endpoint {
            Endpoint::Unix(path) => Connection::start(UnixStream::connect(path).await?),
            Endpoint::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Connection::start(stream)
            }
        })
    };
    timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
