//! The place of tor's SOCKS port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::tor::MAX_SOCKET_PATH;
use crate::text;

/// The SOCKS port of a tor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SocksPlace {
    /// An IP address with a TCP port, 1 to 65535.
    Port(SocketAddr),
    /// The path of a socket, at most 107 bytes; a relative path starts from the file's directory.
    Socket(PathBuf),
}

/// The text is not the place of a SOCKS port.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "write the IP address and the port of tor's SocksPort, such as 127.0.0.1:9050, or unix: and the path of its socket"
)]
pub struct SocksPlaceError;

impl FromStr for SocksPlace {
    type Err = SocksPlaceError;

    /// Reads an IP address with a port, or a path with a slash or after `unix:`. Fails for any other text.
    fn from_str(text: &str) -> Result<Self, SocksPlaceError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(SocksPlaceError) } else { Ok(Self::Port(address)) };
        }
        let path = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text));
        let is_path = |path: &&str| {
            let is_file = !path.is_empty() && !path.ends_with('/') && !path.contains("://");
            is_file && path.len() <= MAX_SOCKET_PATH && !path.contains('\0')
        };
        path.filter(is_path).map(|path| Self::Socket(path.into())).ok_or(SocksPlaceError)
    }
}

impl<'de> Deserialize<'de> for SocksPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an IP address with a port, or unix: and the path of a socket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_a_port_or_a_path() {
        for text in ["127.0.0.1:9050", "[::1]:9050"] {
            assert_eq!(text.parse(), Ok(SocksPlace::Port(text.parse().unwrap())));
        }
        for (text, path) in [
            ("unix:/run/tor/socks", "/run/tor/socks"),
            ("/run/tor/socks", "/run/tor/socks"),
            ("unix:socks", "socks"),
        ] {
            assert_eq!(text.parse(), Ok(SocksPlace::Socket(path.into())));
        }
        let long = format!("/{}", "a".repeat(107));
        for text in
            ["9050", "localhost:9050", "127.0.0.1:0", "unix:", "/run/", "http://127.0.0.1:9050", "", &long]
        {
            assert_eq!(text.parse::<SocksPlace>(), Err(SocksPlaceError), "{text}");
        }
    }
}
