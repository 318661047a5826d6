//! A connection to the signer, and the signer that is started as a child.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onionbalance_process::BAD_CONFIGURATION;
use onionbalance_proto::wire::{Header, Reply, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{SignerError, SignerPlace};
use crate::aside::aside;
use crate::sibling::sibling;

/// The longest wait for a signal of our own after a child has ended: Ctrl-C, or a service manager's SIGTERM,
/// goes to both.
const SIGNALS_WITHIN: Duration = Duration::from_millis(200);
/// The longest wait for a reply. A signer takes milliseconds, so one that takes longer serves another
/// balancer or hangs.
pub(super) const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// The time between two attempts to connect while the queue of connections is full: there is no event for its
/// end.
const QUEUE_IS_FULL: Duration = Duration::from_millis(20);
/// The size in bytes from which on a reply is decoded in a thread: each address takes 45 µs, since it is
/// checked to be of the curve's prime-order subgroup, and a page of services has up to 8000.
const LONG: usize = 32 * 1024;
pub(super) const PROGRAM: &str = "onionbalance-signer";

/// A stream to a signer.
pub(super) struct Connection {
    stream: UnixStream,
    /// The child at the other end; `None` after [`Connection::take_child`].
    child: Option<ChildSigner>,
}

/// A signer that this process has started.
pub struct ChildSigner {
    process: Child,
    /// False before the first reply: the child may be asking a person for passphrases.
    serves: bool,
}

impl ChildSigner {
    /// The child's process id; `None` after it was waited for, when another process may have that number.
    pub fn pid(&self) -> Option<i32> {
        self.process.id()?.try_into().ok()
    }

    /// Has the child read its configuration again, before it answers the next request.
    pub fn reload(&self) {
        if let Some(pid) = self.pid() {
            // A child that has ended is reported by [`ChildSigner::ended`].
            let _ = kill(Pid::from_raw(pid), Signal::SIGHUP);
        }
    }

    /// Waits for the child's end, and then for a short time: if this process is to end too, its own signal is
    /// the reason.
    pub async fn ended(&mut self) -> SignerError {
        // The wait fails only if there is no child.
        let _ = self.process.wait().await;
        sleep(SIGNALS_WITHIN).await;
        SignerError::ChildEnded
    }
}

impl Drop for ChildSigner {
    fn drop(&mut self) {
        // A child that serves ends with its connection. Before, it does not watch the connection, and may be
        // asking for a passphrase: at this signal it restores the terminal's echo and ends.
        if let Some(pid) = self.pid().filter(|_| !self.serves) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Connection {
    /// Connects to the signer that listens, or starts one.
    pub(super) async fn open(place: &SignerPlace) -> Result<Self, SignerError> {
        match place {
            SignerPlace::Socket(path) => {
                let stream = connect(path)
                    .await
                    .map_err(|source| SignerError::Connect { path: path.clone(), source })?;
                Ok(Self { stream, child: None })
            }
            SignerPlace::Child(config) => start(config).map_err(SignerError::Start),
        }
    }

    /// Sends a request's frame and waits for the reply. After an error the connection cannot be used again.
    pub(super) async fn exchange(&mut self, frame: &[u8]) -> Result<Reply, SignerError> {
        let reply = self.reply(frame).await;
        if matches!(reply, Err(SignerError::Closed(_))) && self.ended_over_configuration().await {
            return Err(SignerError::BadConfiguration);
        }
        if let (Some(child), Ok(_)) = (&mut self.child, &reply) {
            child.serves = true;
        }
        reply
    }

    /// The child at the other end; `None` if there is none or it does not serve yet.
    pub(super) fn take_child(&mut self) -> Option<ChildSigner> {
        self.child.take_if(|child| child.serves)
    }

    async fn reply(&mut self, frame: &[u8]) -> Result<Reply, SignerError> {
        let is_starting = self.child.as_ref().is_some_and(|child| !child.serves);
        let exchange = exchange(&mut self.stream, frame);
        tokio::pin!(exchange);
        match timeout(REPLY_WITHIN, &mut exchange).await {
            Ok(reply) => reply,
            Err(_) if is_starting => {
                warn!(
                    "the signer has not begun to serve within {} s: if one of its keys is encrypted, it is asking for the \
                     passphrase on the terminal",
                    REPLY_WITHIN.as_secs()
                );
                exchange.await
            }
            Err(_) => Err(SignerError::Silent),
        }
    }

    /// True if a child closed the connection because of its configuration.
    async fn ended_over_configuration(&mut self) -> bool {
        match &mut self.child {
            Some(child) => {
                let ended = timeout(REPLY_WITHIN, child.process.wait()).await;
                matches!(ended, Ok(Ok(status)) if status.code() == Some(BAD_CONFIGURATION.into()))
            }
            None => false,
        }
    }
}

/// Connects, and tries again while the queue of connections is full, which the signer is serving (`EAGAIN` of
/// unix(7)).
async fn connect(path: &Path) -> io::Result<UnixStream> {
    let end = Instant::now() + REPLY_WITHIN;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                sleep(QUEUE_IS_FULL).await;
            }
            outcome => return outcome,
        }
    }
}

/// Starts a signer that serves one end of a socket pair as its standard input, and ends with the other.
fn start(config: &Path) -> io::Result<Connection> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let process = Command::new(sibling(PROGRAM))
        .arg("--inherited")
        .arg("-c")
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        // The service manager waits for this process, not for the child.
        .env_remove("NOTIFY_SOCKET")
        .spawn()?;
    info!(pid = process.id(), "started a signer");
    let child = ChildSigner { process, serves: false };
    Ok(Connection { stream: UnixStream::from_std(ours)?, child: Some(child) })
}

async fn exchange(stream: &mut UnixStream, frame: &[u8]) -> Result<Reply, SignerError> {
    let sent = stream.write_all(frame).await;
    let reply = receive(stream).await;
    // A signer that cannot start replies before it has read a request, and closes: sending may fail then
    // although there is a reply.
    match (sent, reply) {
        (Err(error), Err(SignerError::Closed(_))) => Err(SignerError::Closed(error)),
        (_, reply) => reply,
    }
}

async fn receive(stream: &mut UnixStream) -> Result<Reply, SignerError> {
    let mut header = [0; Header::LENGTH];
    stream.read_exact(&mut header).await.map_err(SignerError::Closed)?;
    let mut body = vec![0; Header::decode::<Reply>(header)?.body_length()];
    stream.read_exact(&mut body).await.map_err(SignerError::Closed)?;
    let reply =
        if body.len() < LONG { frame::decode(&body) } else { aside(move || frame::decode(&body)).await };
    Ok(reply?)
}
