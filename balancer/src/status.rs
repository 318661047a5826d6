//! The status socket: whoever connects gets one JSON object, then the end.
//!
//! Its keys are Onionbalance's, so that what reads them can read ours; what is more stands beside them.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::engine::{BackendState, BackendStatus, DescriptorStatus, Now, ServiceStatus, UploadState};

/// A reader that does not read is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot show the status at {path}: {source}; the directory must exist and be writable, and nothing else may stand there"
)]
pub struct StatusError {
    path: PathBuf,
    source: io::Error,
}

/// Where the status is shown.
pub struct StatusSocket(UnixListener);

impl StatusSocket {
    /// Listens at `path`; a socket that was left there is replaced. User and group may connect.
    pub fn bind(path: &Path) -> Result<Self, StatusError> {
        let failed = |source| StatusError { path: path.to_owned(), source };
        if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(failed)?;
        Ok(Self(listener))
    }

    /// Waits for a reader.
    pub async fn reader(&self) -> io::Result<Reader> {
        let (stream, _) = self.0.accept().await?;
        Ok(Reader(stream))
    }
}

/// Somebody who wants to know.
pub struct Reader(tokio::net::UnixStream);

impl Reader {
    /// Tells him, as far as he listens.
    pub async fn tell(mut self, text: String) {
        // A reader who is gone, or does not read, is his own affair.
        let _ = timeout(PATIENCE, self.0.write_all(text.as_bytes())).await;
    }
}

#[derive(Serialize)]
struct Status {
    services: Vec<Service>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    onion_address: String,
    publish_attempt_first_descriptor: Option<String>,
    publish_attempt_second_descriptor: Option<String>,
    intro_points_num: usize,
    descriptors: Vec<Descriptor>,
    instances: Vec<Instance>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    time_period: u64,
    revision: Option<u64>,
    hsdirs: usize,
    stored: usize,
}

/// Onionbalance gives an instance that it has not received another shape.
#[derive(Serialize)]
#[serde(untagged)]
enum Instance {
    #[serde(rename_all = "camelCase")]
    Received {
        onion_address: String,
        descriptor_received: String,
        intro_set_modified: String,
        intro_points_num: usize,
        live: bool,
    },
    #[serde(rename_all = "camelCase")]
    Missing { onion_address: String, received: Option<String> },
}

/// The JSON object, with a line end.
pub fn render(services: &[ServiceStatus], now: Now) -> String {
    let status = Status { services: services.iter().map(|status| service(status, now)).collect() };
    // Strings, numbers and lists of them cannot fail to be rendered.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn service(status: &ServiceStatus, now: Now) -> Service {
    let attempt = |index: usize| {
        let descriptor = status.descriptors.get(index)?;
        Some(ago(descriptor.published_ago?, now))
    };
    Service {
        onion_address: status.service.to_string(),
        publish_attempt_first_descriptor: attempt(0),
        publish_attempt_second_descriptor: attempt(1),
        intro_points_num: status.points,
        descriptors: status.descriptors.iter().map(descriptor).collect(),
        instances: status.backends.iter().map(|backend| instance(backend, now)).collect(),
    }
}

fn descriptor(status: &DescriptorStatus) -> Descriptor {
    Descriptor {
        time_period: status.slot.period,
        revision: status.revision,
        hsdirs: status.hsdirs.len(),
        stored: status.hsdirs.iter().filter(|hsdir| hsdir.state == UploadState::Stored).count(),
    }
}

fn instance(status: &BackendStatus, now: Now) -> Instance {
    let onion_address = status.backend.to_string();
    match status.received_ago {
        Some(received) => Instance::Received {
            onion_address,
            descriptor_received: ago(received, now),
            intro_set_modified: ago(status.changed_ago.unwrap_or(received), now),
            intro_points_num: status.points,
            live: status.state == BackendState::Live,
        },
        None => Instance::Missing { onion_address, received: None },
    }
}

fn ago(age: Duration, now: Now) -> String {
    now.wall.minus(age.as_secs()).to_string()
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::time::UnixTime;

    use super::*;
    use crate::engine::{DescriptorSlot, HsdirStatus};
    use crate::relay::Fingerprint;

    #[test]
    fn keys_are_onionbalances() {
        let backend = |name: &str, received_ago| BackendStatus {
            backend: name.into(),
            state: BackendState::Live,
            period: Some(7),
            revision: Some(5),
            published: None,
            received_ago,
            changed_ago: received_ago,
            points: 3,
            hsdirs: vec![],
        };
        let hsdir =
            HsdirStatus { hsdir: Fingerprint([1; 20]), state: UploadState::Stored, revision: Some(9) };
        let slot = DescriptorSlot { period: 7, replica: 0 };
        let status = ServiceStatus {
            service: "front.onion".into(),
            points: 3,
            stale_for: None,
            descriptors: vec![DescriptorStatus {
                slot,
                published_ago: Some(Duration::from_mins(1)),
                revision: Some(9),
                hsdirs: vec![hsdir],
            }],
            backends: vec![backend("a.onion", Some(Duration::from_secs(1))), backend("b.onion", None)],
        };
        let now = Now { elapsed: Duration::from_hours(1), wall: UnixTime(1_795_336_111) };
        let json: serde_json::Value = serde_json::from_str(&render(&[status], now)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"services": [{
                "onionAddress": "front.onion",
                "publishAttemptFirstDescriptor": "2026-11-22 08:27:31",
                "publishAttemptSecondDescriptor": null,
                "introPointsNum": 3,
                "descriptors": [{"timePeriod": 7, "revision": 9, "hsdirs": 1, "stored": 1}],
                "instances": [
                    {"onionAddress": "a.onion", "descriptorReceived": "2026-11-22 08:28:30",
                     "introSetModified": "2026-11-22 08:28:30", "introPointsNum": 3, "live": true},
                    {"onionAddress": "b.onion", "received": null},
                ],
            }]})
        );
    }
}
