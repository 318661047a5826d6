//! A connection to the signer, and the signer that is started for it if none is running.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onionbalance_proto::wire::{Header, Reply, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{SignerError, SignerPlace};

/// A signer takes milliseconds; one that serves another balancer, or hangs, is told by this.
pub(super) const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// How the signer ends when starting it again will not help (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: i32 = 78;
pub(super) const PROGRAM: &str = "onionbalance-signer";

/// A stream to a signer.
pub(super) struct Connection {
    stream: UnixStream,
    /// Ends with the connection; a child of ours is not left behind.
    child: Option<Child>,
    /// It is serving: before, it may be asking a person for passphrases.
    has_answered: bool,
}

impl Connection {
    /// Connects to the signer that listens, or starts one.
    pub(super) async fn open(place: &SignerPlace) -> Result<Self, SignerError> {
        match place {
            SignerPlace::Socket(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|source| SignerError::Connect { path: path.clone(), source })?;
                Ok(Self { stream, child: None, has_answered: false })
            }
            SignerPlace::Child(config) => start(config).map_err(SignerError::Start),
        }
    }

    /// Has a signer that is our child read its configuration anew, before it answers the next request.
    pub(super) fn reload_child(&self) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // One that has ended is started anew with the next request.
            let _ = kill(Pid::from_raw(pid), Signal::SIGHUP);
        }
    }

    /// Sends a request's frame and waits for the reply. After an error the connection is of no more use.
    pub(super) async fn exchange(&mut self, frame: &[u8]) -> Result<Reply, SignerError> {
        let reply = self.reply(frame).await;
        if matches!(reply, Err(SignerError::Closed(_))) && self.ended_over_configuration().await {
            return Err(SignerError::BadConfiguration);
        }
        self.has_answered = reply.is_ok();
        reply
    }

    async fn reply(&mut self, frame: &[u8]) -> Result<Reply, SignerError> {
        let is_starting = self.child.is_some() && !self.has_answered;
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

    /// Whether this is to a child that closed it because it has nothing to serve.
    async fn ended_over_configuration(&mut self) -> bool {
        match &mut self.child {
            Some(child) => {
                let ended = timeout(REPLY_WITHIN, child.wait()).await;
                matches!(ended, Ok(Ok(status)) if status.code() == Some(BAD_CONFIGURATION))
            }
            None => false,
        }
    }
}

/// Starts a signer that serves one end of a socket pair as its standard input, and ends when we do.
fn start(config: &Path) -> io::Result<Connection> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(program())
        .arg("--inherited")
        .arg("-c")
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .kill_on_drop(true)
        .spawn()?;
    info!(pid = child.id(), "started a signer");
    Ok(Connection { stream: UnixStream::from_std(ours)?, child: Some(child), has_answered: false })
}

/// The signer's program beside our own, else the one in PATH.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PROGRAM.into())
}

async fn exchange(stream: &mut UnixStream, frame: &[u8]) -> Result<Reply, SignerError> {
    stream.write_all(frame).await.map_err(SignerError::Closed)?;
    let mut header = [0; Header::LENGTH];
    stream.read_exact(&mut header).await.map_err(SignerError::Closed)?;
    let mut body = vec![0; Header::decode::<Reply>(header)?.body_length()];
    stream.read_exact(&mut body).await.map_err(SignerError::Closed)?;
    Ok(frame::decode(&body)?)
}
