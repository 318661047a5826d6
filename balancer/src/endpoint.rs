//! The addresses of tors' control ports.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use onionbalance_proto::config::TorHost;

/// The address of a control port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// tor's `ControlSocket`, an AF_UNIX stream socket.
    Unix(PathBuf),
    /// Tor's `ControlPort`, a TCP socket.
    Tcp {
        /// The address or name of tor's machine.
        host: TorHost,
        /// The TCP port, 1 to 65535.
        port: u16,
    },
}

impl Endpoint {
    /// The same endpoint with the first address of its name in place of the name. Blocks.
    ///
    /// # Errors
    /// The name has no address, or no name server answers.
    pub fn resolved(&self) -> io::Result<Self> {
        let Self::Tcp { host, port } = self else { return Ok(self.clone()) };
        let mut addresses = (host.as_str(), *port).to_socket_addrs()?;
        let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self::Tcp { host: address.ip().into(), port: *port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_write_it() {
        let tcp = |host: &str| Endpoint::Tcp { host: host.parse().unwrap(), port: 9051 }.to_string();
        assert_eq!(tcp("127.0.0.1"), "127.0.0.1:9051");
        assert_eq!(tcp("::1"), "[::1]:9051");
        assert_eq!(Endpoint::Unix("/run/tor/control".into()).to_string(), "unix:/run/tor/control");
    }
}
