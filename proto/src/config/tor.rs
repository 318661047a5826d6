//! The place of a tor's control port: one grammar for the file, the command line and the environment.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::text;

/// The control port of a tor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TorPlace {
    /// Its `ControlSocket`; a relative path starts from the file's directory.
    Socket(TorSocket),
    /// Its `ControlPort`.
    Port {
        /// The machine.
        host: TorHost,
        /// The TCP port, 1 to 65535.
        port: u16,
    },
}

/// The path of a `ControlSocket`, at most 107 bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorSocket(PathBuf);

/// The host of a `ControlPort`: an IP address without brackets, or a host name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TorHost(String);

/// The text is not the place of a control port.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TorPlaceError {
    /// Digits only.
    #[error("the address is missing: write ADDRESS:PORT, such as 127.0.0.1:9051")]
    NoAddress,
    /// The text is a host without a port.
    #[error("the port is missing: write ADDRESS:PORT, such as {0}:9051")]
    NoPort(TorHost),
    /// The text has a colon, but no port after the last one, no address before it, or an IPv6 address without
    /// brackets.
    #[error(
        "not a control port: write the path of tor's control socket, or ADDRESS:PORT, such as 127.0.0.1:9051 or [::1]:9051"
    )]
    Unknown,
    /// The text is not the path of a socket.
    #[error(transparent)]
    Socket(#[from] TorSocketError),
}

/// The text is not the path of a control socket.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TorSocketError {
    /// The text is empty, or empty after `unix:`.
    #[error("the path is missing: write the path of tor's control socket, such as /run/tor/control")]
    Empty,
    /// Digits only.
    #[error("{0} is a port, not the path of a control socket: give it as the port (-p, TOR_PORT)")]
    Port(String),
    /// `ADDRESS:PORT`.
    #[error(
        "{host}:{port} is a control port, not the path of a control socket: give {host} as the address (-i, TOR_ADDRESS) and \
         {port} as the port (-p, TOR_PORT)"
    )]
    AddressAndPort {
        /// The machine.
        host: TorHost,
        /// The TCP port.
        port: u16,
    },
    /// The text is an IP address, with or without brackets.
    #[error("{0} is an address, not the path of a control socket: give it as the address (-i, TOR_ADDRESS)")]
    Address(TorHost),
    /// `http://…` and the like.
    #[error("a URL is not the path of a control socket: write the path alone, such as /run/tor/control")]
    Url,
    /// The text ends with a slash.
    #[error(
        "a directory is not a control socket: write the path of the socket in it, such as /run/tor/control"
    )]
    Directory,
    /// The text is longer than `sun_path` of `sockaddr_un`, or has a zero byte (unix(7)).
    #[error("the path of a socket has at most {MAX_SOCKET_PATH} bytes, and no zero byte")]
    Path,
}

/// The text is not a host.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TorHostError {
    /// The text begins with `unix:`, or has a slash.
    #[error("a path is not an address: give it as the control socket (-s, TOR_CONTROL_SOCKET)")]
    Socket,
    /// `http://…` and the like.
    #[error("a URL is not an address: write an IP address or a host name alone, such as 127.0.0.1")]
    Url,
    /// The text is a host with a port.
    #[error("write {host} alone, and give {port} as the port (-p, TOR_PORT)")]
    Port {
        /// The machine.
        host: TorHost,
        /// The TCP port, 1 to 65535.
        port: u16,
    },
    /// The text is empty, or none of the above.
    #[error("write an IP address, such as 127.0.0.1 or ::1, or a host name")]
    Unknown,
}

/// The longest path in `sun_path`, in bytes, without the zero byte at its end.
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// The longest name in the DNS, in characters of its text form (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

impl FromStr for TorPlace {
    type Err = TorPlaceError;

    /// Reads a path or `ADDRESS:PORT`. A text with a slash or without a colon is a path; tor's own form with
    /// the prefix `unix:` is accepted too. Fails for a port or a host alone, and for a malformed path or
    /// address.
    fn from_str(text: &str) -> Result<Self, TorPlaceError> {
        if let Some((host, port)) = split_port(text) {
            return Ok(Self::Port { host, port });
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TorPlaceError::NoAddress);
        }
        if text.contains(':') && !text.contains('/') && !text.starts_with(UNIX) {
            return Err(TorPlaceError::Unknown);
        }
        match host(text) {
            // Any other word may be the name of a file.
            Some(host) if host.is_ip_address() || text == "localhost" => Err(TorPlaceError::NoPort(host)),
            _ => Ok(Self::Socket(text.parse()?)),
        }
    }
}

/// The prefix of a socket's path in tor's own configuration.
const UNIX: &str = "unix:";

impl TorSocket {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same socket, with a relative path resolved from `directory`.
    #[must_use]
    pub fn from_directory(&self, directory: &Path) -> Self {
        Self(directory.join(&self.0))
    }
}

impl FromStr for TorSocket {
    type Err = TorSocketError;

    /// Reads a path, with or without tor's prefix `unix:`. Fails for a text that is an address, a port, a URL
    /// or a directory, and for a path that is too long.
    fn from_str(text: &str) -> Result<Self, TorSocketError> {
        let path = text.strip_prefix(UNIX).unwrap_or(text);
        if path.is_empty() {
            return Err(TorSocketError::Empty);
        }
        if path.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TorSocketError::Port(path.to_owned()));
        }
        if path.contains("://") {
            return Err(TorSocketError::Url);
        }
        if let Some((host, port)) = split_port(path) {
            return Err(TorSocketError::AddressAndPort { host, port });
        }
        if let Some(host) = host(path).filter(TorHost::is_ip_address) {
            return Err(TorSocketError::Address(host));
        }
        if path.ends_with('/') {
            return Err(TorSocketError::Directory);
        }
        if path.len() > MAX_SOCKET_PATH || path.contains('\0') {
            return Err(TorSocketError::Path);
        }
        Ok(Self(path.into()))
    }
}

impl TorHost {
    /// The form that resolvers take: an IP address without brackets, or a name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for an IP address; a name has to be resolved first.
    pub fn is_ip_address(&self) -> bool {
        self.0.parse::<IpAddr>().is_ok()
    }
}

impl FromStr for TorHost {
    type Err = TorHostError;

    /// Reads an IP address, an IPv6 address in brackets, or a host name. Fails for any other text, such as a
    /// host with a port.
    fn from_str(text: &str) -> Result<Self, TorHostError> {
        if let Some(host) = host(text) {
            return Ok(host);
        }
        if text.contains("://") {
            return Err(TorHostError::Url);
        }
        if text.starts_with(UNIX) || text.contains('/') {
            return Err(TorHostError::Socket);
        }
        let (host, port) = split_port(text).ok_or(TorHostError::Unknown)?;
        Err(TorHostError::Port { host, port })
    }
}

impl From<IpAddr> for TorHost {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl From<Ipv4Addr> for TorHost {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::V4(address).into()
    }
}

impl fmt::Display for TorHost {
    /// The form before a colon and a port: IPv6 addresses have brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// Splits `ADDRESS:PORT`; `None` for any other text. An IPv6 address has brackets here, because its last
/// group cannot be told from a port.
fn split_port(text: &str) -> Option<(TorHost, u16)> {
    let (before, port) = text.rsplit_once(':')?;
    if before.contains(':') && !before.starts_with('[') {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((host(before)?, port))
}

fn host(text: &str) -> Option<TorHost> {
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = in_brackets {
        return Some(IpAddr::V6(address.parse().ok()?).into());
    }
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.into()),
        Err(_) => is_name(text).then(|| TorHost(text.to_owned())),
    }
}

/// Letters, digits, hyphens and underscores between dots. The last part of a name is never a number (RFC
/// 1123, 2.1), so that `127.0.0.256` is none.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(is_allowed)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let ends_with_number =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= MAX_NAME && name.split('.').all(is_label) && !ends_with_number
}

impl<'de> Deserialize<'de> for TorPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(
            deserializer,
            "the path of a control socket, or ADDRESS:PORT, such as 127.0.0.1:9051 or \"[::1]:9051\" (in quotes)",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> TorHost {
        TorHost(text.to_owned())
    }

    #[test]
    fn a_place_is_a_path_or_an_address_with_a_port() {
        let socket = |path: &str| Ok(TorPlace::Socket(TorSocket(path.into())));
        let port = |name: &str, port| Ok(TorPlace::Port { host: host(name), port });
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
            ("localhost", Err(TorPlaceError::NoPort(host("localhost")))),
            ("10.0.0.1", Err(TorPlaceError::NoPort(host("10.0.0.1")))),
            ("::1", Err(TorPlaceError::Unknown)),
            ("[::1]", Err(TorPlaceError::Unknown)),
            ("::1:9051", Err(TorPlaceError::Unknown)),
            (":9051", Err(TorPlaceError::Unknown)),
            ("[]:9051", Err(TorPlaceError::Unknown)),
            ("[127.0.0.1]:9051", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:0", Err(TorPlaceError::Unknown)),
            ("127.0.0.1:99999", Err(TorPlaceError::Unknown)),
            ("127.0.0.256:9051", Err(TorPlaceError::Unknown)),
            ("a b:9051", Err(TorPlaceError::Unknown)),
            ("unix:", Err(TorSocketError::Empty.into())),
            ("http://127.0.0.1:9051", Err(TorSocketError::Url.into())),
            ("/run/tor/", Err(TorSocketError::Directory.into())),
        ];
        for (text, wanted) in cases {
            assert_eq!(text.parse(), wanted, "{text}");
        }
        let missing = "10.0.0.1".parse::<TorPlace>().unwrap_err().to_string();
        assert_eq!(missing, "the port is missing: write ADDRESS:PORT, such as 10.0.0.1:9051");
    }

    #[test]
    fn a_host_is_an_address_or_a_name_alone() {
        for (text, wanted) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("localhost", "localhost"),
            ("tor_1.example.", "tor_1.example."),
        ] {
            assert_eq!(text.parse(), Ok(host(wanted)), "{text}");
        }
        for (text, wanted) in [
            ("localhost:9051", TorHostError::Port { host: host("localhost"), port: 9051 }),
            ("[::1]:9051", TorHostError::Port { host: host("::1"), port: 9051 }),
            ("unix:/run/tor/control", TorHostError::Socket),
            ("/run/tor/control", TorHostError::Socket),
            ("http://127.0.0.1", TorHostError::Url),
            ("http://127.0.0.1:9051/", TorHostError::Url),
            ("9051", TorHostError::Unknown),
            ("127.0.0.256", TorHostError::Unknown),
            ("a..b", TorHostError::Unknown),
            ("a b", TorHostError::Unknown),
            ("[::1", TorHostError::Unknown),
            ("", TorHostError::Unknown),
        ] {
            assert_eq!(text.parse::<TorHost>(), Err(wanted), "{text}");
        }
        assert!("a.".repeat(128).parse::<TorHost>().is_err() && "a.".repeat(127).parse::<TorHost>().is_ok());
        assert_eq!([host("::1"), host("localhost")].map(|host| host.to_string()), ["[::1]", "localhost"]);
    }

    #[test]
    fn a_socket_is_a_path() {
        for (text, wanted) in [
            ("/run/tor/control", "/run/tor/control"),
            ("unix:/run/tor/control", "/run/tor/control"),
            ("unix:control", "control"),
            ("localhost", "localhost"),
            ("tor:9/control", "tor:9/control"),
        ] {
            assert_eq!(text.parse(), Ok(TorSocket(wanted.into())), "{text}");
        }
        let at = |name: &str| TorSocketError::AddressAndPort { host: host(name), port: 9051 };
        for (text, wanted) in [
            ("", TorSocketError::Empty),
            ("unix:", TorSocketError::Empty),
            ("9051", TorSocketError::Port("9051".into())),
            ("unix:9051", TorSocketError::Port("9051".into())),
            ("127.0.0.1:9051", at("127.0.0.1")),
            ("localhost:9051", at("localhost")),
            ("[::1]:9051", at("::1")),
            ("http://127.0.0.1:9051", TorSocketError::Url),
            ("/run/tor/", TorSocketError::Directory),
            ("/\0", TorSocketError::Path),
        ] {
            assert_eq!(text.parse::<TorSocket>(), Err(wanted), "{text}");
        }
        let longest = "/".to_owned() + &"x".repeat(MAX_SOCKET_PATH - 1);
        assert!(longest.parse::<TorSocket>().is_ok() && (longest + "x").parse::<TorSocket>().is_err());
    }
}
