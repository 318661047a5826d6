//! The balancer's side of the conversation with the signer.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use onionbalance_proto::wire::{
    FrameError, FrontendRequest, Header, HeldService, Refusal, Reply, Request, SignedFrontend, frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::info;

/// A signer takes milliseconds; one that serves another balancer, or hangs, is told by this.
const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// How the signer ends when starting it again will not help (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: i32 = 78;
const PROGRAM: &str = "onionbalance-signer";

/// Where the signer is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SignerPlace {
    /// It listens at this path.
    Socket(PathBuf),
    /// It is to be started as a child, with this configuration.
    Child(PathBuf),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Nobody listens, or we may not connect.
    #[error("cannot reach the signer at {path}: {source}{}", connect_advice(.source))]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program does not start.
    #[error(
        "cannot start {PROGRAM}: {0}; install it beside onionbalance or in PATH, or set signer-socket-location"
    )]
    Start(io::Error),
    /// The connection broke.
    #[error("the signer closed the connection: {0}; its log says why")]
    Closed(io::Error),
    /// The child that we started ended over its configuration, and has said what is wrong with it.
    #[error("the signer ended: the line above says why")]
    BadConfiguration,
    /// It says nothing.
    #[error("the signer did not answer within {} s", REPLY_WITHIN.as_secs())]
    Silent,
    /// It speaks something else.
    #[error("the signer's answer is not understood: {0}")]
    Frame(#[from] FrameError),
    /// It answers another question.
    #[error("the signer answered another question")]
    OtherReply,
    /// It broke no rule of the protocol to say no.
    #[error("the signer refused: {0}")]
    Refused(#[from] Refusal),
}

fn connect_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; start onionbalance-signer with the same configuration, or remove signer-socket-location to have it started"
        }
        io::ErrorKind::PermissionDenied => "; add this user to the group of the signer's socket",
        _ => "",
    }
}

/// One connection at a time, made when it is needed and made anew when it broke.
pub struct SignerClient {
    place: SignerPlace,
    connection: Option<Connection>,
}

struct Connection {
    stream: UnixStream,
    /// Ends with the connection; a child of ours is not left behind.
    child: Option<Child>,
}

impl SignerClient {
    /// A client that has not connected yet.
    pub fn new(place: SignerPlace) -> Self {
        Self { place, connection: None }
    }

    /// The services whose keys the signer holds.
    pub async fn services(&mut self) -> Result<Vec<HeldService>, SignerError> {
        match self.ask(&Request::Services).await? {
            Reply::Services(services) => Ok(services),
            _ => Err(SignerError::OtherReply),
        }
    }

    /// Has a frontend's descriptors rendered and signed.
    pub async fn sign(&mut self, request: FrontendRequest) -> Result<SignedFrontend, SignerError> {
        let sets = request.sets.len();
        match self.ask(&Request::FrontendV3(request)).await? {
            Reply::FrontendV3(signed) if signed.texts.len() == sets => Ok(signed),
            Reply::Refused(refusal) => Err(refusal.into()),
            _ => Err(SignerError::OtherReply),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, SignerError> {
        let frame = frame::encode(request)?;
        // A signer that restarted in the meantime has closed the connection: only a new one tells whether it is back.
        if let Some(connection) = self.connection.take()
            && let Ok(reply) = self.exchange(connection, &frame).await
        {
            return Ok(reply);
        }
        let connection = connect(&self.place).await?;
        self.exchange(connection, &frame).await
    }

    /// Keeps the connection only if the exchange went well: a late answer must not meet the next question.
    async fn exchange(&mut self, mut connection: Connection, frame: &[u8]) -> Result<Reply, SignerError> {
        let reply = timeout(REPLY_WITHIN, exchange(&mut connection.stream, frame))
            .await
            .map_err(|_| SignerError::Silent)?;
        match reply {
            Ok(_) => self.connection = Some(connection),
            Err(_) if connection.ended_over_configuration().await => {
                return Err(SignerError::BadConfiguration);
            }
            Err(_) => {}
        }
        reply
    }
}

impl Connection {
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

async fn connect(place: &SignerPlace) -> Result<Connection, SignerError> {
    match place {
        SignerPlace::Socket(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|source| SignerError::Connect { path: path.clone(), source })?;
            Ok(Connection { stream, child: None })
        }
        SignerPlace::Child(config) => start(config).map_err(SignerError::Start),
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
    Ok(Connection { stream: UnixStream::from_std(ours)?, child: Some(child) })
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
