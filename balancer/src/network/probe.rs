//! Probes of backends, and their results in words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;

/// A probe of a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The backend's onion address, with `.onion`.
    pub address: String,
    /// The health check that the probe belongs to. An HTTP probe whose host is `None` names `address`.
    pub check: Arc<HealthCheck>,
}

/// The result of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probed {
    /// The backend answered as its health check demands, after this time.
    Succeeded(Duration),
    /// The backend did not.
    Failed(ProbeFailure),
    /// The probe could not be made, for this reason. It says nothing about the backend.
    Unmade(String),
}

impl Probed {
    /// A short name of the result, of lower-case letters and `_`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "success",
            Self::Failed(failure) => failure.label(),
            Self::Unmade(_) => "unmade",
        }
    }
}

/// The reason for which a probe failed. Its text continues a sentence: "no HSDir has its descriptor".
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ProbeFailure {
    /// No HSDir has the backend's descriptor.
    NoDescriptor,
    /// No introduction point passed the introduction on.
    NoIntroduction,
    /// The backend and the client did not meet at the rendezvous point.
    Rendezvous,
    /// The backend authorizes its clients, and the carrier's key is missing or wrong.
    ClientKey,
    /// The backend is reached, and does not accept the connection.
    Refused,
    /// No answer came within the timeout.
    Silent,
    /// Another status code of tor's SOCKS port.
    Tor(u8),
    /// The HTTP status, which is not one of those that are expected.
    Status(u16),
    /// The HTTP body is complete, and the expected text is not in it.
    Body,
    /// The answer is not the whole of an HTTP response, for this reason.
    Http(String),
}

impl ProbeFailure {
    /// The failure that this status code of a SOCKS reply stands for (RFC 1928 §6; socks-extensions,
    /// "Extended error codes").
    pub fn of_socks_code(code: u8) -> Self {
        match code {
            0x05 => Self::Refused,
            0xF0 => Self::NoDescriptor,
            0xF2 | 0xF7 => Self::NoIntroduction,
            0xF3 => Self::Rendezvous,
            0xF4 | 0xF5 => Self::ClientKey,
            _ => Self::Tor(code),
        }
    }

    /// A short name of the failure, of lower-case letters and `_`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoDescriptor => "no_descriptor",
            Self::NoIntroduction => "no_introduction",
            Self::Rendezvous => "rendezvous",
            Self::ClientKey => "client_key",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Tor(_) => "tor",
            Self::Status(_) => "status",
            Self::Body => "body",
            Self::Http(_) => "http",
        }
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::NoDescriptor => "no HSDir has its descriptor",
            Self::NoIntroduction => "no introduction point answered",
            Self::Rendezvous => "the rendezvous failed",
            Self::ClientKey => "it wants client authorization, and tor's key is missing or wrong",
            Self::Refused => "it refused the connection",
            Self::Silent => "no answer in time",
            // Tor's answer, too, when a service's target refuses the connection.
            Self::Tor(0x01) => "nothing listens on its port, or tor could not connect",
            Self::Tor(0x02) => "tor does not allow it",
            Self::Tor(0x03 | 0x04) => "tor did not reach it",
            Self::Tor(0x06) => "tor gave up",
            Self::Tor(0xF1) => "its descriptor is not valid",
            Self::Tor(0xF6) => "tor does not accept its address",
            Self::Tor(code) => return write!(f, "tor's SOCKS port answered 0x{code:02X}"),
            Self::Status(status) => return write!(f, "HTTP status {status}"),
            Self::Body => "the expected text is not in the page",
            Self::Http(reason) => return write!(f, "no HTTP answer: {reason}"),
        };
        f.write_str(words)
    }
}
