//! The request to a running balancer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::ControlOptions;
use crate::commands::usual_configuration;
use crate::config::{CONTROL_SOCKET, Configuration, STATUS_SOCKET};
use crate::control::request::{Answer, Request};
use crate::environment::{directory, path_variable};

/// The longest wait for a part of the answer: the balancer may wait for its loops and for its disk.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer, in bytes: a line for each of ten thousand services.
const LARGEST: u64 = 8 << 20;
/// The place of the control socket under the units of the package.
const USUAL: &str = "/run/onionbalance-status/control.sock";

/// The reason for which there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody answers.
    #[error("nobody answers at {}", .0.display())]
    Nobody(PathBuf),
    /// The caller may not ask.
    #[error("you may not write to {}", .0.display())]
    Forbidden(PathBuf),
    /// The answer does not come.
    #[error("the balancer at {} does not answer within {} s", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// The socket cannot be used.
    #[error("cannot talk to {}: {source}", .path.display())]
    Talk {
        /// The path of the socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The answer is not one.
    #[error("{} does not answer as a control socket does: {problem}", .path.display())]
    Strange {
        /// The path of the socket.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
}

impl AskError {
    /// The remedies for a person, a line each.
    pub(super) fn remedies(&self) -> &'static [&'static str] {
        match self {
            Self::Nobody(_) => &[
                "is it running?  systemctl status onionbalance",
                "another socket?  --socket, or control-socket-location in the configuration",
            ],
            Self::Forbidden(_) => &["use sudo: only root and the user of onionbalance may"],
            Self::Silent(_) => &["is it stopped, or busy?  systemctl status onionbalance"],
            Self::Talk { .. } | Self::Strange { .. } => {
                &["another socket?  --socket, or control-socket-location in the configuration"]
            }
        }
    }
}

/// Sends a request to the balancer at the socket that `options` or the configuration name.
///
/// # Errors
/// The balancer does not answer, or what answers is not a balancer.
pub(super) fn ask(request: &Request, options: &ControlOptions) -> Result<Answer, AskError> {
    let path = options.socket.clone().unwrap_or_else(|| place(options));
    let answer = converse(request, &path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody(path.clone()),
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.clone()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(path.clone()),
        _ => AskError::Talk { path: path.clone(), source },
    })?;
    serde_json::from_slice(&answer).map_err(|error| AskError::Strange { path, problem: error.to_string() })
}

fn converse(request: &Request, path: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let sent = stream.write_all(&line);
    let mut answer = Vec::new();
    let read = stream.take(LARGEST).read_to_end(&mut answer);
    // A balancer that refuses us does not read: it has answered when the request cannot be sent, and resets the
    // connection after its answer.
    if answer.ends_with(b"\n") {
        return Ok(answer);
    }
    sent?;
    read.map(|_| answer)
}

/// The control socket of the balancer that has the configuration. A caller that may not read that gets the
/// usual place.
fn place(options: &ControlOptions) -> PathBuf {
    let variable = path_variable("ONIONBALANCE_STATUS_SOCKET_LOCATION");
    let runtime_directory = directory("RUNTIME_DIRECTORY");
    let file = options.config.clone().or_else(usual_configuration);
    let named = if let Some(configuration) = file.and_then(|file| Configuration::read(&file).ok()) {
        configuration.control(variable, runtime_directory).map(|place| place.path)
    } else {
        let status = variable.or_else(|| Some(runtime_directory?.join(STATUS_SOCKET)));
        status.map(|status| status.with_file_name(CONTROL_SOCKET))
    };
    named.unwrap_or_else(|| USUAL.into())
}
