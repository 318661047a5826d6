//! Where a service's tor is.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::text;

/// The control port of a tor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TorPlace {
    /// Its `ControlSocket`; a relative path starts from the file's directory.
    Socket(PathBuf),
    /// Its `ControlPort`.
    Port {
        /// An IP address, without brackets, or a name.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// A text says neither.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TorPlaceError {
    /// Digits only.
    #[error("the address is missing: write ADDRESS:PORT, such as 127.0.0.1:9051")]
    NoAddress,
    /// There is a colon, but no port behind the last one, or no address before it.
    #[error(
        "this is no place of a tor: write the path of its control socket, or ADDRESS:PORT, such as 127.0.0.1:9051 or \
         [::1]:9051"
    )]
    Unknown,
}

impl FromStr for TorPlace {
    type Err = TorPlaceError;

    /// What has a slash or no colon is a path; tor's own way to write one, with `unix:` in front, is known too.
    fn from_str(text: &str) -> Result<Self, TorPlaceError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Socket(path.into()));
        }
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            return if digits { Err(TorPlaceError::NoAddress) } else { Ok(Self::Socket(text.into())) };
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host,
            // Whether the last group of an IPv6 address is a port cannot be told.
            None if host.contains(':') => return Err(TorPlaceError::Unknown),
            None => host,
        };
        match port.parse() {
            Ok(port) if port != 0 && !host.is_empty() => Ok(Self::Port { host: host.to_owned(), port }),
            _ => Err(TorPlaceError::Unknown),
        }
    }
}

impl<'de> Deserialize<'de> for TorPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "the path of a control socket, or ADDRESS:PORT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address_with_a_port() {
        let socket = |path: &str| Ok(TorPlace::Socket(path.into()));
        let port = |host: &str, port| Ok(TorPlace::Port { host: host.to_owned(), port });
        let cases = [
            ("/run/tor/control", socket("/run/tor/control")),
            ("unix:/run/tor/control", socket("/run/tor/control")),
            ("old/control:9", socket("old/control:9")),
            ("control", socket("control")),
            ("127.0.0.1:9051", port("127.0.0.1", 9051)),
            ("localhost:9051", port("localhost", 9051)),
            ("[::1]:9051", port("::1", 9051)),
            ("9051", Err(TorPlaceError::NoAddress)),
            ("", Err(TorPlaceError::NoAddress)),
            ("::1:9051", Err(TorPlaceError::Unknown)),
            (":9051", Err(TorPlaceError::Unknown)),
            ("[]:9051", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:0", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:99999", Err(TorPlaceError::Unknown)),
            ("unix:", Err(TorPlaceError::Unknown)),
        ];
        for (text, wanted) in cases {
            assert_eq!(text.parse(), wanted, "{text}");
        }
    }
}
