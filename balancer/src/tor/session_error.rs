//! The reasons for which there is no session with a tor, and their remedies.

use std::io;

use super::auth::AuthError;
use super::control::{Closed, ControlError};
use super::reply::{ReplyError, excerpt};
use super::version::Unsuitable;
use crate::endpoint::Endpoint;

/// The reason for which there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No process listens at any of these endpoints, or this process may not connect; at least one endpoint.
    #[error("cannot connect to tor's control port {}{}", join(.0), connect_advice(.0))]
    Connect(Vec<Unreachable>),
    /// The endpoint speaks another protocol.
    #[error(
        "{endpoint} is not tor's control port (it answered `{answer}`): name the `ControlSocket` or `ControlPort` that is in \
         tor's torrc"
    )]
    NotControlPort {
        /// The endpoint that was asked.
        endpoint: Endpoint,
        /// The beginning of the answer to PROTOCOLINFO.
        answer: String,
    },
    /// No answer of the control protocol came.
    #[error(
        "{endpoint} does not answer as a control port: {source}; is it tor's `ControlSocket` or `ControlPort`?"
    )]
    NoAnswer {
        /// The endpoint that was asked.
        endpoint: Endpoint,
        /// The error of the connection.
        source: ControlError,
    },
    /// Tor did not accept us.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Tor lacks a feature that a balancer needs.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The connection failed.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// An endpoint that could not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint}: {source}")]
pub struct Unreachable {
    pub(super) endpoint: Endpoint,
    pub(super) source: io::Error,
}

impl SessionError {
    /// Combines this error with the one of another endpoint: the error that most needs a person. That is the
    /// first permanent one, otherwise one of a tor that was reached, otherwise both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one.is_permanent() != other.is_permanent() => {
                if one.is_permanent() {
                    one
                } else {
                    other
                }
            }
            (Self::Connect(mut all), Self::Connect(more)) => {
                all.extend(more);
                Self::Connect(all)
            }
            (Self::Connect(_), reached) => reached,
            (one, _) => one,
        }
    }

    /// True if this process lacks a permission that another user may have.
    pub fn is_denied(&self) -> bool {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Self::Connect(all) => all.iter().any(|one| is_denied(&one.source)),
            Self::Auth(AuthError::Cookie { source, .. }) => is_denied(source),
            _ => false,
        }
    }

    /// True if the same attempt would fail again until a person changes something. At its start a program
    /// should then end with the error; later, tor may be changing its version or its settings.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connect(all) => all.iter().any(|one| {
                matches!(one.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
            }),
            Self::Auth(error) => error.is_permanent(),
            Self::Unsuitable(_) | Self::NotControlPort { .. } => true,
            Self::NoAnswer { .. } | Self::Control(_) => false,
        }
    }
}

impl From<Closed> for SessionError {
    fn from(closed: Closed) -> Self {
        Self::Control(closed.into())
    }
}

fn join(all: &[Unreachable]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", nor to ")
}

fn connect_advice(all: &[Unreachable]) -> &'static str {
    let failed = |kinds: &[io::ErrorKind]| all.iter().any(|one| kinds.contains(&one.source.kind()));
    if failed(&[io::ErrorKind::PermissionDenied]) {
        "; add the user to the group of tor (debian-tor), and make the `ControlSocket` in tor's torrc `GroupWritable`"
    } else if !failed(&[io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]) {
        ""
    } else if all.len() == 1 {
        "; is tor running, with this `ControlSocket` or `ControlPort` in its torrc?"
    } else {
        "; is tor running, with one of these as `ControlSocket` or `ControlPort` in its torrc? Name another socket with -s, \
         another port with -i and -p"
    }
}

/// The error for an endpoint at which PROTOCOLINFO failed. Tor answers it to every client (control-spec,
/// "PROTOCOLINFO"), and tor's SOCKS port answers any text that looks like a command with an HTTP error.
pub(super) fn no_control_port(endpoint: &Endpoint, error: ControlError) -> SessionError {
    let endpoint = endpoint.clone();
    let answer = match &error {
        ControlError::Closed(Closed::Protocol(ReplyError::NotAReply(line))) => line.clone(),
        ControlError::Closed(Closed::UnaskedReply(status, text))
        | ControlError::Refused { status, text, .. } => excerpt(format!("{status} {text}").as_bytes()),
        ControlError::Unexpected { text, .. } => excerpt(text.as_bytes()),
        ControlError::Closed(_) => return SessionError::NoAnswer { endpoint, source: error },
    };
    SessionError::NotControlPort { endpoint, answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_endpoints_the_error_that_needs_a_person_is_told() {
        let connect = |path: &str, kind: io::ErrorKind| {
            let endpoint = Endpoint::Unix(path.into());
            SessionError::Connect(vec![Unreachable { endpoint, source: kind.into() }])
        };
        let missing = || connect("/a", io::ErrorKind::NotFound);
        let refused = || connect("/b", io::ErrorKind::ConnectionRefused);
        let denied = || connect("/c", io::ErrorKind::PermissionDenied);
        assert_eq!(
            missing().or(refused()).to_string(),
            "cannot connect to tor's control port unix:/a: entity not found, nor to unix:/b: connection refused; is tor \
             running, with one of these as `ControlSocket` or `ControlPort` in its torrc? Name another socket with -s, \
             another port with -i and -p"
        );
        for error in [missing().or(denied()), denied().or(missing())] {
            assert!(
                error.to_string().starts_with("cannot connect to tor's control port unix:/c: permission")
            );
        }
        let reached = || SessionError::from(Closed::ByTor);
        for error in [missing().or(reached()), reached().or(missing())] {
            assert_eq!(error.to_string(), "tor closed the control connection");
        }
    }
}
