//! The balancer's side of the conversation with the signer.

mod connection;
mod shared;
mod trouble;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use onionbalance_proto::config::MAX_SERVICES;
use onionbalance_proto::wire::{FrameError, HeldService, Page, Refusal, Reply, Request, frame, v2, v3};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::connection::ChildSigner;
use self::connection::{Connection, PROGRAM, REPLY_WITHIN};
pub use self::shared::SharedSigner;
pub use self::trouble::Trouble;
use self::trouble::{TroubleCount, TroubleLog};

/// The most readings of the list of services, which begins again after each reload of the signer.
const READINGS: usize = 5;

/// The time for which a signer that was not ready is left alone. If a service manager listens for it, each
/// connection starts it once more, and every descriptor that is due would connect.
const REST: Duration = Duration::from_secs(25);

/// The place of the signer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SignerPlace {
    /// The signer listens at this path.
    Socket(PathBuf),
    /// The signer is to be started as a child, with this configuration.
    Child(PathBuf),
}

/// The reason for which there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// No signer listens, or this process may not connect.
    #[error("cannot reach the signer at {path}: {source}{}", connect_advice(.source))]
    Connect {
        /// The path of the signer's socket.
        path: PathBuf,
        /// The error of `connect`.
        source: io::Error,
    },
    /// The signer's program cannot be started.
    #[error("cannot start {PROGRAM}: {0}{advice}", advice = start_advice(.0))]
    Start(io::Error),
    /// The signer closed the connection, or the socket failed.
    #[error("the signer closed the connection: {0}; its log says why")]
    Closed(io::Error),
    /// The child ended because of its configuration, and has logged the reason.
    #[error("the signer ended: the line above says why")]
    BadConfiguration,
    /// The child has ended, and no other can be started: see [`crate::confinement`].
    #[error(
        "the signer that onionbalance has started has ended, and a confined onionbalance starts no other: restart it, or \
         set signer-socket-location and let a service manager restart the signer"
    )]
    ChildEnded,
    /// The signer cannot start; the reason is one line.
    #[error("the signer is not ready: {0}")]
    NotReady(String),
    /// The signer's configuration changed each time that its services were read.
    #[error("the signer was reloaded {READINGS} times while its services were being read: try again")]
    Changing,
    /// The signer did not answer within [`REPLY_WITHIN`].
    #[error("the signer did not answer within {} s", REPLY_WITHIN.as_secs())]
    Silent,
    /// The reply is not a frame of the protocol.
    #[error("the signer's answer is not understood: {0}")]
    Frame(#[from] FrameError),
    /// The reply does not belong to the request.
    #[error("the signer answered another question")]
    OtherReply,
    /// The signer refused the request by this rule.
    #[error("the signer refused: {0}")]
    Refused(#[from] Refusal),
}

impl SignerError {
    /// True if the configuration or the installation has to be changed first: another try is in vain.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::BadConfiguration => true,
            Self::Start(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            _ => false,
        }
    }
}

/// The units forbid the balancer to run programs.
fn start_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "; install it beside onionbalance or in PATH, or set signer-socket-location"
        }
        io::ErrorKind::PermissionDenied => {
            "; set signer-socket-location: under the units it is /run/onionbalance/signer.sock"
        }
        _ => "",
    }
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

/// A request for signatures, of either version.
pub trait Signable {
    /// The signatures that are asked for.
    type Signed;

    /// The request as a message.
    fn request(self) -> Request;

    /// The signatures in `reply`; `None` if it does not answer this `request`.
    fn signed(request: &Request, reply: Reply) -> Option<Self::Signed>;
}

impl Signable for v2::FrontendRequest {
    type Signed = v2::SignedFrontend;

    fn request(self) -> Request {
        Request::FrontendV2(self)
    }

    fn signed(_: &Request, reply: Reply) -> Option<v2::SignedFrontend> {
        match reply {
            Reply::FrontendV2(signed) => Some(signed),
            _ => None,
        }
    }
}

impl Signable for v3::FrontendRequest {
    type Signed = v3::SignedFrontend;

    fn request(self) -> Request {
        Request::FrontendV3(self)
    }

    fn signed(request: &Request, reply: Reply) -> Option<v3::SignedFrontend> {
        match (request, reply) {
            (Request::FrontendV3(request), Reply::FrontendV3(signed))
                if signed.texts.len() == request.sets.len() =>
            {
                Some(signed)
            }
            _ => None,
        }
    }
}

/// A client with one connection at a time, which is made when it is needed and again after it broke.
pub struct SignerClient {
    place: SignerPlace,
    connection: Option<Connection>,
    /// True after a child was started: there is no second one.
    has_started_child: bool,
    version: Option<String>,
    trouble: TroubleLog,
    /// The end of the time in which the signer is left alone, with the reason; `None` if it is not.
    rest: Option<(Instant, String)>,
}

impl SignerClient {
    /// A client that has not connected yet.
    pub fn new(place: SignerPlace) -> Self {
        Self {
            place,
            connection: None,
            has_started_child: false,
            version: None,
            trouble: TroubleLog::default(),
            rest: None,
        }
    }

    /// The present trouble with the signer; `None` while it answers.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// The count of warnings about the signer's silence.
    fn trouble_count(&self) -> TroubleCount {
        self.trouble.count()
    }

    /// Ends the time in which a signer that was not ready is left alone: it may have been repaired.
    pub fn end_rest(&mut self) {
        self.rest = None;
    }

    /// The services whose keys the signer holds, in the order of its configuration. A signer that is our
    /// child may ask a person for passphrases first, so this can take as long as it lives.
    ///
    /// # Errors
    /// The signer does not answer, is not ready, or was reloaded [`READINGS`] times in the meantime.
    pub async fn services(&mut self) -> Result<Vec<HeldService>, SignerError> {
        for _ in 0..READINGS {
            if let Some(services) = self.read_list().await? {
                return Ok(services);
            }
        }
        Err(SignerError::Changing)
    }

    /// The signer's release, such as `1.0.0`; `None` before its services were asked for.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Reads the list page by page. `None` if the list changed before the end was reached.
    ///
    /// Each page has at least one service, so there are no more pages than services.
    async fn read_list(&mut self) -> Result<Option<Vec<HeldService>>, SignerError> {
        let Page { version, edition, total, mut services } = self.page(0).await?;
        self.version = Some(version);
        let wanted = usize::try_from(total).ok().filter(|total| *total <= MAX_SERVICES);
        let wanted = wanted.ok_or(SignerError::OtherReply)?;
        while services.len() < wanted {
            let from = u32::try_from(services.len()).map_err(|_| SignerError::OtherReply)?;
            let next = self.page(from).await?;
            if next.edition != edition {
                return Ok(None);
            }
            if next.services.is_empty() {
                return Err(SignerError::OtherReply);
            }
            services.extend(next.services);
        }
        if services.len() == wanted { Ok(Some(services)) } else { Err(SignerError::OtherReply) }
    }

    /// The services from this index on, as many as fit one reply.
    async fn page(&mut self, from: u32) -> Result<Page, SignerError> {
        match self.ask(&Request::Services { from }).await? {
            Reply::Services(page) => Ok(page),
            _ => Err(SignerError::OtherReply),
        }
    }

    /// Has a frontend's descriptors rendered and signed.
    ///
    /// # Errors
    /// The signer refuses, does not answer, or is not ready.
    pub async fn sign<R: Signable>(&mut self, request: R) -> Result<R::Signed, SignerError> {
        let request = request.request();
        match self.ask(&request).await? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => R::signed(&request, reply).ok_or(SignerError::OtherReply),
        }
    }

    /// The child, if there is one and it serves. The caller is then responsible for watching its end.
    pub fn take_child(&mut self) -> Option<ChildSigner> {
        self.connection.as_mut().and_then(Connection::take_child)
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, SignerError> {
        let reply = self.ask_once_or_twice(request).await;
        self.trouble.note(&reply);
        reply
    }

    async fn ask_once_or_twice(&mut self, request: &Request) -> Result<Reply, SignerError> {
        let frame = frame::encode(request)?;
        if let Some(connection) = self.connection.take() {
            match self.exchange(connection, &frame).await {
                // A restarted signer has closed it, too: only a new connection shows if it is back.
                Err(SignerError::Closed(_)) => {}
                answer => return answer,
            }
        }
        if let Some((until, reason)) = &self.rest {
            if Instant::now() < *until {
                return Err(SignerError::NotReady(reason.clone()));
            }
        }
        let connection = self.connect().await?;
        self.exchange(connection, &frame).await
    }

    async fn connect(&mut self) -> Result<Connection, SignerError> {
        if self.has_started_child {
            return Err(SignerError::ChildEnded);
        }
        self.has_started_child = matches!(self.place, SignerPlace::Child(_));
        Connection::open(&self.place).await
    }

    /// Keeps the connection only after a successful exchange: a late answer must not meet the next question.
    async fn exchange(&mut self, mut connection: Connection, frame: &[u8]) -> Result<Reply, SignerError> {
        match connection.exchange(frame).await? {
            Reply::NotReady(reason) => {
                let reason = String::from(reason);
                self.rest = Some((Instant::now() + REST, reason.clone()));
                Err(SignerError::NotReady(reason))
            }
            reply => {
                self.connection = Some(connection);
                Ok(reply)
            }
        }
    }
}

#[cfg(test)]
mod tests;
