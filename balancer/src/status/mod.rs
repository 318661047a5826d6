//! The status socket: a reader that connects gets the status, then the end of the stream. One that sends a
//! request of HTTP gets a response. The TCP port of the metrics is in [`port`].

mod daily;
mod group;
mod http;
mod json;
pub(crate) mod metrics;
mod moment;
mod port;
mod problem;
mod problems;
mod readers;
mod report;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod verdict;

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use onionbalance_proto::time::UnixTime;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tracing::{info, warn};

pub use self::daily::Daily;
pub use self::group::GroupError;
use self::group::SocketGroup;
use self::http::{SILENCE, Wish};
pub use self::moment::Moment;
pub use self::port::{MetricsPort, PortError};
pub use self::problem::{Problem, ProblemId, Severity};
pub(crate) use self::problems::DELEGATION_ENDS_SOON;
pub use self::report::{
    Descriptor, Durations, Event, HealthCheck, HealthState, Hsdir, Instance, InstanceState, Received, Report,
    SCHEMA, Service, Signer, Tor, Upload, Which,
};
pub use self::verdict::{Health, Verdict};
use crate::aside::aside;
use crate::config::{StatusForm, StatusPlace, StatusReaders};
use crate::local_socket::{BindError, LocalSocket};
use crate::runtime::{State, StatusBoard};

impl StatusForm {
    /// The state of all services, with a line end.
    fn render(self, state: &State, now: UnixTime) -> String {
        match self {
            Self::Text => text::render(state, now),
            Self::Json => json::render(state, now),
        }
    }
}

/// The reason for which there is no status socket.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The socket cannot be made.
    #[error(
        "cannot create the status socket {}: {source}; its directory must exist and be writable, and nothing else may be \
         there under that name",
        .path.display()
    )]
    Create {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `bind`.
        source: io::Error,
    },
    /// The group of the sockets cannot get them.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Another process listens at the path.
    #[error(
        "another onionbalance{} answers at {}: stop it, or give this one a status socket of its own",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
        .path.display()
    )]
    Taken {
        /// The path of the socket.
        path: PathBuf,
        /// The id of the process that listens; `None` if the kernel does not report it.
        pid: Option<i32>,
    },
}

/// The sockets that show the status.
pub struct StatusSockets(Vec<Socket>);

struct Socket {
    socket: LocalSocket,
    form: StatusForm,
}

impl StatusSockets {
    /// Listens at each of these places for these readers. A socket at which no process listens is replaced.
    ///
    /// A socket for the text that cannot be created is skipped: 0.1.8 went on without it, and configurations
    /// with a path that does not exist have worked for years.
    ///
    /// # Errors
    /// Another process listens at a place, a JSON socket cannot be created, or a socket cannot be given to
    /// its group.
    pub async fn bind(places: &[StatusPlace], readers: &StatusReaders) -> Result<Self, StatusError> {
        let group = if places.is_empty() { None } else { SocketGroup::of(readers.group.as_deref())? };
        let mut sockets = Vec::with_capacity(places.len());
        for StatusPlace { path, form } in places {
            match Socket::bind(path, *form, readers.mode.bits(), group.as_ref()).await {
                Ok(socket) => sockets.push(socket),
                Err(error @ StatusError::Create { .. }) if *form == StatusForm::Text => warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(Self(sockets))
    }

    /// Sends the status of `board` to each reader that connects, forever.
    pub async fn serve(&self, board: &StatusBoard) {
        let turn = Arc::default();
        readers::serve(|| self.reader(), |reader| tell(reader, board.clone(), Arc::clone(&turn))).await;
    }

    /// Waits for a reader; forever if there is no socket.
    async fn reader(&self) -> io::Result<Reader> {
        poll_fn(|context| {
            let mut accepted = self.0.iter().map(|socket| {
                let accepted = socket.socket.listener.poll_accept(context);
                accepted.map_ok(|(stream, _)| Reader { stream, form: socket.form })
            });
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

impl Socket {
    async fn bind(
        path: &Path,
        form: StatusForm,
        mode: u32,
        group: Option<&SocketGroup>,
    ) -> Result<Self, StatusError> {
        let socket = LocalSocket::bind(path, mode).await.map_err(|error| match error {
            BindError::Create(source) => StatusError::Create { path: path.to_owned(), source },
            BindError::Taken(pid) => StatusError::Taken { path: path.to_owned(), pid },
        })?;
        group.map_or(Ok(()), |group| group.take(path))?;
        Ok(Self { socket, form })
    }
}

/// Sends the status to a reader. The text of thousands of services is made beside the loop, and one text at a
/// time: readers must not take all threads.
async fn tell(mut reader: Reader, board: StatusBoard, turn: Arc<Mutex<()>>) {
    let (form, wish) = (reader.form, Wish::read(&mut reader.stream, SILENCE).await);
    let text = {
        let _turn = turn.lock().await;
        let (state, now) = (board.state().await, onionbalance_process::now());
        aside(move || answer(wish, form, &state, now)).await
    };
    readers::send(&mut reader.stream, wish, &text).await;
}

/// The body of the answer to a reader of a socket of this form.
fn answer(wish: Wish, form: StatusForm, state: &State, now: UnixTime) -> String {
    match wish {
        Wish::Form => form.render(state, now),
        Wish::Status => json::render(state, now),
        Wish::Metrics => metrics::render(Some(&json::report(state, now)), false),
        Wish::Elsewhere | Wish::Otherwise => "GET /status or GET /metrics\n".to_owned(),
    }
}

/// Logs the status, in the form of lines. If the log may not have addresses, it gets no cookies of clients
/// either.
pub async fn log(board: &StatusBoard) {
    let (mut state, now) = (board.state().await, onionbalance_process::now());
    for service in state.tors.iter_mut().flat_map(|tor| &mut tor.services) {
        service.client_line = service.client_line.take().filter(|_| service.names.shows_addresses());
    }
    info!("status: {}", Verdict::of(&state, now));
    for line in StatusForm::Text.render(&state, now).lines() {
        info!("status: {line}");
    }
}

/// A client that has connected to a status socket.
struct Reader {
    stream: UnixStream,
    form: StatusForm,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio::time::Instant;

    use super::readers::{MOST, PATIENCE};
    use super::*;
    use crate::confinement::Lacking;

    fn place(path: PathBuf, form: StatusForm) -> StatusPlace {
        StatusPlace { path, form }
    }

    async fn bind(places: &[StatusPlace]) -> Result<StatusSockets, StatusError> {
        StatusSockets::bind(places, &StatusReaders::default()).await
    }

    #[tokio::test]
    async fn the_mode_is_the_configured_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("json");
        let _sockets = bind(&[place(path.clone(), StatusForm::Json)]).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
    }

    #[tokio::test]
    async fn every_reader_gets_the_form_of_his_socket() {
        let directory = tempfile::tempdir().unwrap();
        let (text, json) = (directory.path().join("text"), directory.path().join("json"));
        // A socket that was left behind by a balancer that was killed.
        drop(UnixListener::bind(&text).unwrap());
        let places = [place(text.clone(), StatusForm::Text), place(json.clone(), StatusForm::Json)];
        let sockets = bind(&places).await.unwrap();
        for (path, form) in [(json, StatusForm::Json), (text, StatusForm::Text)] {
            let mut stream = UnixStream::connect(path).await.unwrap();
            let mut reader = sockets.reader().await.unwrap();
            assert_eq!(reader.form, form);
            let text = form.render(&State::default(), UnixTime(0));
            readers::send(&mut reader.stream, Wish::Form, &text).await;
            drop(reader);
            let mut told = String::new();
            stream.read_to_string(&mut told).await.unwrap();
            assert_eq!(told, form.render(&State::default(), UnixTime(0)));
        }
    }

    /// The answer of a socket to a reader that sends this text and goes on listening.
    async fn answer_to(path: &Path, text: &str) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn readers_wait_for_those_who_do_not_come_to_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("json");
        let sockets = bind(&[place(path.clone(), StatusForm::Json)]).await.unwrap();
        let (_signer, watch) = tokio::sync::watch::channel(None);
        let board = StatusBoard::new(watch, Lacking::default());
        let client = async {
            let mut stalled = Vec::new();
            for _ in 0..MOST {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                stream.write_all(b"GET /status").await.unwrap();
                stalled.push(stream);
            }
            let began = Instant::now();
            let told = answer_to(&path, "GET /status HTTP/1.1\r\n\r\n").await;
            assert!(told.starts_with("HTTP/1.1 200 OK") && began.elapsed() >= PATIENCE, "{told}");
        };
        tokio::select! {
            () = client => {}
            () = sockets.serve(&board) => panic!("it serves forever"),
        }
    }

    #[tokio::test]
    async fn a_client_of_http_gets_the_metrics_or_the_object() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        let sockets = bind(&[place(path.clone(), StatusForm::Text)]).await.unwrap();
        let (_signer, watch) = tokio::sync::watch::channel(None);
        let board = StatusBoard::new(watch, Lacking::default());
        let client = async {
            let metrics = answer_to(&path, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            let (head, body) = metrics.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{metrics}");
            assert!(body.contains("\nonionbalance_reachable 1"), "{metrics}");
            let status = answer_to(&path, "GET /status HTTP/1.1\r\n\r\n").await;
            let (_, body) = status.split_once("\r\n\r\n").unwrap();
            assert!(serde_json::from_str::<Report>(body).is_ok(), "{status}");
            assert!(answer_to(&path, "GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
            assert!(answer_to(&path, "PUT /status HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
            for plain in ["", "\n"] {
                assert!(!answer_to(&path, plain).await.starts_with("HTTP"));
            }
        };
        tokio::select! {
            () = sockets.serve(&board) => unreachable!("it serves forever"),
            () = client => {}
        }
    }

    #[tokio::test]
    async fn the_socket_is_gone_at_the_end_unless_it_is_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let places = [place(directory.path().join("status"), StatusForm::Json)];
        let first = bind(&places).await.unwrap();
        std::fs::remove_file(&places[0].path).unwrap();
        let second = bind(&places).await.unwrap();
        drop(first);
        assert!(places[0].path.try_exists().unwrap());
        drop(second);
        assert!(!places[0].path.try_exists().unwrap());
    }

    #[tokio::test]
    async fn a_socket_at_which_somebody_listens_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for form in [StatusForm::Json, StatusForm::Text] {
            let places = [place(directory.path().join(format!("{form:?}")), form)];
            let first = bind(&places).await.unwrap();
            let error = bind(&places).await.err().unwrap().to_string();
            let wanted = format!("another onionbalance (pid {}) answers at ", std::process::id());
            assert!(error.starts_with(&wanted), "{error}");
            UnixStream::connect(&places[0].path).await.unwrap();
            drop(first);
        }
    }

    #[tokio::test]
    async fn a_socket_of_another_type_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        let _others = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let error = bind(&[place(path.clone(), StatusForm::Json)]).await.err().unwrap();
        assert!(error.to_string().contains("Address already in use"), "{error}");
        assert!(path.try_exists().unwrap());
    }

    #[tokio::test]
    async fn only_a_place_for_the_text_may_be_missing() {
        let missing = PathBuf::from("/nonexistent/status");
        assert!(bind(&[place(missing.clone(), StatusForm::Text)]).await.is_ok());
        let error = bind(&[place(missing, StatusForm::Json)]).await.err().unwrap();
        let wanted = "cannot create the status socket /nonexistent/status: No such file";
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
}
