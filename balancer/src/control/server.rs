//! The socket, and the service of its clients: a few at a time, each for a short time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::judge::{Judgement, judge};
use super::request::{Answer, MAX_REQUEST_LEN, Request};
use crate::config::ControlPlace;
use crate::local_socket::{BindError, LocalSocket};
use crate::repeats::Repeats;
use crate::runtime::StatusBoard;
use crate::state::Memory;

/// The mode of the socket: no group reaches it.
const MODE: u32 = 0o600;
/// The most clients at a time; further ones wait in the kernel's queue.
const MOST: usize = 4;
/// The longest wait for a request, for the state of the runtimes, and for a client that takes its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a failure to accept a client. The cause is usually a lack of descriptors.
const AGAIN: Duration = Duration::from_secs(1);
/// The topic of clients that were lost. It has no end: the next one may be lost again.
const CLIENTS: &str = "control";

/// The reason for which there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket cannot be made.
    #[error(
        "cannot create the control socket {}: {source}; its directory must exist and be writable, and nothing else may be \
         there under that name",
        .path.display()
    )]
    Create {
        /// The path of the socket.
        path: PathBuf,
        /// The error of `bind`.
        source: io::Error,
    },
    /// Another process listens at the path.
    #[error(
        "another onionbalance{} answers at {}: stop it, or give this one a control socket of its own \
         (control-socket-location)",
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

/// The control socket of this process, if it has one.
pub struct ControlSocket {
    socket: Option<LocalSocket>,
    /// This process's user.
    uid: u32,
}

impl ControlSocket {
    /// Listens at this place. `None`, or a socket that nobody has named and that cannot be created: there is
    /// none, which is a warning in the second case.
    ///
    /// # Errors
    /// A socket that the configuration names cannot be created, or another process listens there.
    pub async fn bind(place: Option<ControlPlace>) -> Result<Self, ControlError> {
        let uid = geteuid().as_raw();
        let Some(ControlPlace { path, is_named }) = place else { return Ok(Self { socket: None, uid }) };
        match LocalSocket::bind(&path, MODE).await {
            Ok(socket) => Ok(Self { socket: Some(socket), uid }),
            Err(error) => {
                let error = match error {
                    BindError::Create(source) => ControlError::Create { path, source },
                    BindError::Taken(pid) => ControlError::Taken { path, pid },
                };
                if is_named {
                    return Err(error);
                }
                warn!("{error}; onionbalance drain and enable do not work");
                Ok(Self { socket: None, uid })
            }
        }
    }

    /// Carries out the requests of clients, forever.
    pub async fn serve(&self, board: &StatusBoard, memory: &Memory) {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        let desk = Desk { board: board.clone(), memory: memory.clone(), uid: self.uid, turn: Mutex::new(()) };
        let (desk, room) = (Arc::new(desk), Arc::new(Semaphore::new(MOST)));
        let mut repeats = Repeats::default();
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            match socket.listener.accept().await {
                Ok((client, _)) => {
                    let desk = Arc::clone(&desk);
                    tokio::spawn(async move {
                        desk.serve(client).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    if let Some(times) = repeats.note(CLIENTS, &error.to_string(), "", Instant::now()) {
                        warn!("a client of the control socket was lost: {error}{times}");
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

/// The parts that a request needs.
struct Desk {
    board: StatusBoard,
    memory: Memory,
    /// This process's user.
    uid: u32,
    /// One request at a time is judged: two that drain the last two backends must not both find the other's
    /// backend live.
    turn: Mutex<()>,
}

impl Desk {
    /// Serves a client. One that sends no request in time, or does not take its answer, is left.
    async fn serve(&self, mut client: UnixStream) {
        let answer = if self.may_ask(&client) {
            match timeout(PATIENCE, read(&mut client)).await {
                Ok(Ok(line)) => self.answer(&line).await,
                Ok(Err(_)) | Err(_) => return,
            }
        } else {
            Answer::Refused("only root and the user of onionbalance may do that: use sudo".to_owned())
        };
        // Plain data is serialized without an error.
        let Ok(mut line) = serde_json::to_vec(&answer) else { return };
        line.push(b'\n');
        // A client that has closed has lost its answer.
        let _ = timeout(PATIENCE, client.write_all(&line)).await;
    }

    /// True if the user at the other end is root or our own. The socket's mode says the same, but it can be
    /// changed, and a connection can be handed on.
    fn may_ask(&self, client: &UnixStream) -> bool {
        client.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == self.uid)
    }

    async fn answer(&self, line: &[u8]) -> Answer {
        if line.len() > MAX_REQUEST_LEN {
            return Answer::Refused(format!("the request has more than {MAX_REQUEST_LEN} bytes"));
        }
        match serde_json::from_slice::<Request>(line) {
            Ok(request) => self.carry_out(&request).await,
            Err(error) => Answer::Refused(format!("this is not a request: {error}")),
        }
    }

    async fn carry_out(&self, request: &Request) -> Answer {
        let turn = self.turn.lock().await;
        let Ok(state) = timeout(PATIENCE, self.board.state()).await else {
            return Answer::Refused("onionbalance is too busy: try again".to_owned());
        };
        let now = onionbalance_process::now();
        self.memory.forget_ended_drains(now);
        let Judgement { changes, outcomes } = match judge(&state, &self.memory.drains(), request, now) {
            Ok(judgement) => judgement,
            Err(refusal) => return Answer::Refused(refusal.to_string()),
        };
        let not_kept = if changes.is_empty() {
            None
        } else {
            self.memory.set_drains(changes);
            drop(turn);
            self.memory.keep_drains(now).await.err().map(|reason| reason.to_string())
        };
        Answer::Done { services: outcomes, not_kept }
    }
}

/// The first line that a client sends, or the beginning of one that is too long.
async fn read(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let longest = u64::try_from(MAX_REQUEST_LEN).unwrap_or(u64::MAX).saturating_add(1);
    BufReader::new(client).take(longest).read_until(b'\n', &mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests;
