//! The question to a running balancer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cli::StatusOptions;
use crate::commands::usual_configuration;
use crate::config::{Configuration, STATUS_SOCKET, StatusForm};
use crate::environment::{directory, path_variable};
use crate::status::{Report, SCHEMA};

/// The longest wait for the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes. Ten thousand services with ten backends each take 194 MB if all of these are
/// gone, and each of them is a problem.
const LARGEST: u64 = 256 << 20;
/// The place of the status socket under the units of the package.
const USUAL: &str = "/run/onionbalance-status/status.sock";

/// The answer of a balancer.
pub(super) struct Status {
    /// The answer as it came.
    pub(super) text: String,
    /// The answer.
    pub(super) report: Report,
}

/// The reason for which there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody answers.
    #[error("nobody answers at {}", .0.display())]
    Nobody(PathBuf),
    /// The caller may not ask.
    #[error("you may not read {}", .0.display())]
    Forbidden(PathBuf),
    /// The answer does not come to an end.
    #[error("the balancer at {} does not answer within {} s", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// The socket cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The path of the socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The answer is not a status.
    #[error("{} does not show a status that this version can read: {problem}", .path.display())]
    Strange {
        /// The path of the socket.
        path: PathBuf,
        /// The reason.
        problem: String,
    },
}

impl AskError {
    /// The remedies for a person, a line each.
    pub(super) fn remedies(&self) -> Vec<&'static str> {
        match self {
            Self::Nobody(_) => vec![
                "is it running?  systemctl status onionbalance",
                "another socket?  --socket, or status-socket-location in the configuration",
            ],
            Self::Forbidden(_) => {
                vec!["use sudo, or become a member of its group:  adduser $USER onionbalance-status"]
            }
            Self::Silent(_) => vec!["is it stopped, or busy?  systemctl status onionbalance"],
            Self::Read { .. } => {
                vec!["another socket?  --socket, or status-socket-location in the configuration"]
            }
            Self::Strange { .. } => {
                vec![
                    "name the socket for JSON (status-socket-location), and use the `onionbalance` that runs there",
                ]
            }
        }
    }
}

/// Asks the balancer at the socket that `options` or the configuration name.
///
/// # Errors
/// The balancer does not answer, or its answer is not a status.
pub(super) async fn ask(options: &StatusOptions) -> Result<Status, AskError> {
    let path = options.socket.clone().unwrap_or_else(|| place(options));
    let text = match timeout(PATIENCE, read(&path)).await {
        Ok(Ok(text)) => text,
        Ok(Err(source)) => {
            return Err(match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody(path),
                io::ErrorKind::PermissionDenied => AskError::Forbidden(path),
                _ => AskError::Read { path, source },
            });
        }
        Err(_) => return Err(AskError::Silent(path)),
    };
    match serde_json::from_str::<Report>(&text) {
        Ok(report) if report.schema == SCHEMA => Ok(Status { text, report }),
        Ok(report) => {
            Err(AskError::Strange { path, problem: format!("its schema is {}, not {SCHEMA}", report.schema) })
        }
        Err(error) => Err(AskError::Strange { path, problem: error.to_string() }),
    }
}

async fn read(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    // The balancer need not wait for a request of HTTP. If this fails, it waits for a moment.
    let _ = stream.shutdown().await;
    let mut text = String::new();
    stream.take(LARGEST).read_to_string(&mut text).await?;
    Ok(text)
}

/// The status socket of the balancer that has the configuration. A caller that may not read that gets the
/// usual place.
fn place(options: &StatusOptions) -> PathBuf {
    let variable = path_variable("ONIONBALANCE_STATUS_SOCKET_LOCATION");
    let runtime_directory = directory("RUNTIME_DIRECTORY");
    let file = options.config.clone().or_else(usual_configuration);
    let named = match file.and_then(|file| Configuration::read(&file).ok()) {
        Some(configuration) => {
            let places = configuration.status(variable, runtime_directory);
            places.into_iter().find(|place| place.form == StatusForm::Json).map(|place| place.path)
        }
        None => variable.or_else(|| Some(runtime_directory?.join(STATUS_SOCKET))),
    };
    named.unwrap_or_else(|| USUAL.into())
}
