//! The place at which the balancer answers `GET /metrics`: a TCP port, or an AF_UNIX socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::tor::MAX_SOCKET_PATH;
use crate::text;

/// The place of the metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MetricsPlace {
    /// An IP address with a TCP port, 1 to 65535.
    Port(SocketAddr),
    /// The path of a socket, at most 107 bytes; a relative path starts from the file's directory.
    Socket(PathBuf),
}

/// The text is not the place of the metrics.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MetricsPlaceError {
    /// The text is neither an address with a port nor a path.
    #[error("write an IP address with a port, such as {EXAMPLES}, or the path of a socket, with a slash")]
    Unknown,
    /// The text has a port after another word than an IP address, such as a host name. Names would have to be
    /// looked up.
    #[error("{0} is not an IP address: write one with a port, such as {EXAMPLES}")]
    Host(String),
    /// The port is 0, which would be another one at each start.
    #[error("port 0 is not a port to listen at: write one from 1 to 65535")]
    PortZero,
    /// The text ends with a slash.
    #[error("a directory is not a socket: write the path of the socket in it")]
    Directory,
    /// The text is longer than `sun_path` of `sockaddr_un`, or has a zero byte (unix(7)).
    #[error("the path of a socket has at most {MAX_SOCKET_PATH} bytes, and no zero byte")]
    Path,
}

/// Addresses of both families, as they are written.
const EXAMPLES: &str = "127.0.0.1:9926 or \"[::1]:9926\" (in quotes)";

impl MetricsPlace {
    /// The address if other machines can reach the port, as far as the address tells; `None` for a port on
    /// loopback, and for a socket.
    pub fn beyond_loopback(&self) -> Option<&SocketAddr> {
        match self {
            Self::Port(address) => Some(address).filter(|address| !address.ip().to_canonical().is_loopback()),
            Self::Socket(_) => None,
        }
    }
}

impl FromStr for MetricsPlace {
    type Err = MetricsPlaceError;

    /// Reads an IP address with a port, or a path, which has a slash. Fails for any other text, and for a
    /// malformed path.
    fn from_str(text: &str) -> Result<Self, MetricsPlaceError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(MetricsPlaceError::PortZero)
            } else {
                Ok(Self::Port(address))
            };
        }
        if text.contains("://") || !text.contains('/') {
            let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
            let host = host.map(|(host, _)| host).filter(|host| !host.is_empty() && !host.contains('/'));
            return Err(match host {
                Some(host) => MetricsPlaceError::Host(host.to_owned()),
                None => MetricsPlaceError::Unknown,
            });
        }
        if text.ends_with('/') {
            return Err(MetricsPlaceError::Directory);
        }
        if text.len() > MAX_SOCKET_PATH || text.contains('\0') {
            return Err(MetricsPlaceError::Path);
        }
        Ok(Self::Socket(text.into()))
    }
}

impl fmt::Display for MetricsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for MetricsPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an IP address with a port, or the path of a socket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_a_port_or_a_path() {
        use MetricsPlaceError::{Directory, Host, Path, PortZero, Unknown};
        let port = |text: &str| Ok(MetricsPlace::Port(text.parse().unwrap()));
        let host = |text: &str| Err(Host(text.to_owned()));
        let long = format!("/{}", "a".repeat(107));
        for (text, wanted) in [
            ("127.0.0.1:9926", port("127.0.0.1:9926")),
            ("[::1]:9926", port("[::1]:9926")),
            ("[fe80::1%2]:9926", port("[fe80::1%2]:9926")),
            ("0.0.0.0:80", port("0.0.0.0:80")),
            (
                "/run/onionbalance-status/metrics",
                Ok(MetricsPlace::Socket("/run/onionbalance-status/metrics".into())),
            ),
            ("./metrics", Ok(MetricsPlace::Socket("./metrics".into()))),
            ("localhost:9926", host("localhost")),
            ("127.0.0.256:9926", host("127.0.0.256")),
            ("::1:9926", host("::1")),
            (":9926", Err(Unknown)),
            ("9926", Err(Unknown)),
            ("127.0.0.1", Err(Unknown)),
            ("127.0.0.1:99999", Err(Unknown)),
            ("metrics", Err(Unknown)),
            ("http://127.0.0.1:9926", Err(Unknown)),
            ("", Err(Unknown)),
            ("127.0.0.1:0", Err(PortZero)),
            ("/run/", Err(Directory)),
            (long.as_str(), Err(Path)),
        ] {
            assert_eq!(text.parse(), wanted, "{text}");
        }
    }

    #[test]
    fn loopback_is_that_of_both_families() {
        let beyond = |text: &str| text.parse::<MetricsPlace>().unwrap().beyond_loopback().is_some();
        for text in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "/run/metrics"] {
            assert!(!beyond(text), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1"] {
            assert!(beyond(text), "{text}");
        }
    }
}
