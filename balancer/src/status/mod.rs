//! The status socket: whoever connects is told how things stand, then the end.

mod json;
#[cfg(test)]
mod testing;
mod text;

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::{Mode, umask};
use onionbalance_proto::time::UnixTime;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::warn;

use crate::engine::ServiceStatus;
use crate::runtime::StatusBoard;

/// A reader that does not read is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the sockets rest when they cannot be served.
const AGAIN: Duration = Duration::from_secs(1);

/// What a reader gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Onionbalance 0.1.8's lines.
    Text,
    /// Onionbalance 0.2's JSON object.
    Json,
}

impl Form {
    /// The state of all services, with a line end.
    fn render(self, services: &[ServiceStatus], now: UnixTime) -> String {
        match self {
            Self::Text => text::render(services, now),
            Self::Json => json::render(services, now),
        }
    }
}

/// Where the status is to be shown, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusPlace {
    /// The socket.
    pub path: PathBuf,
    /// What it shows.
    pub form: Form,
}

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
pub struct StatusSockets(Vec<Socket>);

struct Socket {
    listener: UnixListener,
    form: Form,
    path: PathBuf,
    inode: u64,
}

impl StatusSockets {
    /// Listens at each of these places; sockets that were left there are replaced. User and group may connect.
    ///
    /// One for the text may fail: 0.1.8 went on without it, and files that name a place which does not exist have worked for
    /// years.
    pub fn bind(places: &[StatusPlace]) -> Result<Self, StatusError> {
        let mut sockets = Vec::with_capacity(places.len());
        for StatusPlace { path, form } in places {
            match Socket::bind(path, *form).map_err(|source| StatusError { path: path.clone(), source }) {
                Ok(socket) => sockets.push(socket),
                Err(error) if *form == Form::Text => warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(Self(sockets))
    }

    /// Tells whoever connects what stands on `board`, for ever.
    pub async fn serve(&self, board: &StatusBoard) {
        loop {
            match self.reader().await {
                Ok(reader) => drop(tokio::spawn(tell(reader, board.clone()))),
                Err(error) => {
                    warn!("a reader of the status was lost: {error}");
                    // Out of descriptors, mostly: to try again at once would only fill the log.
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Waits for a reader, for ever if nothing is shown.
    async fn reader(&self) -> io::Result<Reader> {
        poll_fn(|context| {
            let mut accepted = self.0.iter().map(|socket| {
                let accepted = socket.listener.poll_accept(context);
                accepted.map_ok(|(stream, _)| Reader { stream, form: socket.form })
            });
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

impl Socket {
    fn bind(path: &Path, form: Form) -> io::Result<Self> {
        if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        // Right from the first moment, whatever the service manager has for other files.
        let before = umask(Mode::from_bits_truncate(0o117));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener?;
        Ok(Self { listener, form, path: path.to_owned(), inode: path.symlink_metadata()?.ino() })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A balancer that was started in the meantime may have put its own there.
        if self.path.symlink_metadata().is_ok_and(|found| found.ino() == self.inode) {
            // At the end there is nobody to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn tell(reader: Reader, board: StatusBoard) {
    let services = board.services().await;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    reader.tell(&services, UnixTime(wall)).await;
}

/// Somebody who wants to know.
struct Reader {
    stream: UnixStream,
    form: Form,
}

impl Reader {
    /// Tells him, as far as he listens.
    async fn tell(mut self, services: &[ServiceStatus], now: UnixTime) {
        let text = self.form.render(services, now);
        // A reader who is gone, or does not read, is his own affair.
        let _ = timeout(PATIENCE, self.stream.write_all(text.as_bytes())).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn place(path: PathBuf, form: Form) -> StatusPlace {
        StatusPlace { path, form }
    }

    #[tokio::test]
    async fn every_reader_gets_the_form_of_his_socket() {
        let directory = tempfile::tempdir().unwrap();
        let (text, json) = (directory.path().join("text"), directory.path().join("json"));
        // What a balancer that was killed has left.
        drop(UnixListener::bind(&text).unwrap());
        let places = [place(text.clone(), Form::Text), place(json.clone(), Form::Json)];
        let sockets = StatusSockets::bind(&places).unwrap();
        for (path, form) in [(json, Form::Json), (text, Form::Text)] {
            let mut stream = UnixStream::connect(path).await.unwrap();
            let reader = sockets.reader().await.unwrap();
            assert_eq!(reader.form, form);
            reader.tell(&[], UnixTime(0)).await;
            let mut told = String::new();
            stream.read_to_string(&mut told).await.unwrap();
            assert_eq!(told, form.render(&[], UnixTime(0)));
        }
    }

    #[tokio::test]
    async fn the_socket_is_gone_at_the_end_unless_it_is_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let places = [place(directory.path().join("status"), Form::Json)];
        let first = StatusSockets::bind(&places).unwrap();
        let second = StatusSockets::bind(&places).unwrap();
        drop(first);
        assert!(places[0].path.exists());
        drop(second);
        assert!(!places[0].path.exists());
    }

    #[tokio::test]
    async fn only_a_place_for_the_text_may_be_missing() {
        let missing = PathBuf::from("/nonexistent/status");
        assert!(StatusSockets::bind(&[place(missing.clone(), Form::Text)]).is_ok());
        let error = StatusSockets::bind(&[place(missing, Form::Json)]).err().unwrap();
        assert!(error.to_string().starts_with("cannot show the status at /nonexistent/status: No such file"));
    }
}
