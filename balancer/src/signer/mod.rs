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
use self::trouble::TroubleLog;

/// How often the list of services is read again because the signer reads its configuration in between.
const READINGS: usize = 5;

/// A signer that was not ready is left alone for so long. Where a service manager listens in its place, each connection starts
/// it once more, and every descriptor that is due asks for one.
const REST: Duration = Duration::from_secs(25);

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
    /// The child that we started has ended, and no other can be started: see [`crate::confinement`].
    #[error(
        "the signer that onionbalance has started has ended, and a confined onionbalance starts no other: restart it, or \
         set signer-socket-location and let a service manager restart the signer"
    )]
    ChildEnded,
    /// It cannot start, ends, and has said why in one line.
    #[error("the signer is not ready: {0}")]
    NotReady(String),
    /// Its configuration changed each time that its services were read.
    #[error("the signer was reloaded {READINGS} times while its services were being read: try again")]
    Changing,
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

/// A request for signatures, of either version.
pub trait Signable {
    /// What is signed.
    type Signed;

    /// The request as it is sent.
    fn request(self) -> Request;

    /// What was signed, if `reply` is an answer to this `request`.
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

/// One connection at a time, made when it is needed and made anew when it broke.
pub struct SignerClient {
    place: SignerPlace,
    connection: Option<Connection>,
    /// There is no other after it.
    has_started_child: bool,
    version: Option<String>,
    trouble: TroubleLog,
    /// Until when the signer is left alone, and why.
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

    /// Whether the signer answers.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// Asks a signer that was not ready at once the next time: somebody may have mended it.
    pub fn end_rest(&mut self) {
        self.rest = None;
    }

    /// The services whose keys the signer holds, in the order of its configuration. A signer that is our child may ask a person
    /// for passphrases first, so this may take as long as it lives.
    pub async fn services(&mut self) -> Result<Vec<HeldService>, SignerError> {
        for _ in 0..READINGS {
            if let Some(services) = self.read_list().await? {
                return Ok(services);
            }
        }
        Err(SignerError::Changing)
    }

    /// The signer's release as it was told with its services, such as `1.0.0`; `None` before they were asked for.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Reads the list page by page. `None` if the signer has another one before the end was reached.
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

    /// The services from this index on, as many as the signer tells at a time.
    async fn page(&mut self, from: u32) -> Result<Page, SignerError> {
        match self.ask(&Request::Services { from }).await? {
            Reply::Services(page) => Ok(page),
            _ => Err(SignerError::OtherReply),
        }
    }

    /// Has a frontend's descriptors rendered and signed.
    pub async fn sign<R: Signable>(&mut self, request: R) -> Result<R::Signed, SignerError> {
        let request = request.request();
        match self.ask(&request).await? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => R::signed(&request, reply).ok_or(SignerError::OtherReply),
        }
    }

    /// The signer that was started as our child, if one was and serves. It is left to the caller to hear of its end.
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
                // So has a signer that restarted in the meantime: only a new connection tells whether it is back.
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

    /// Keeps the connection only if the exchange went well: a late answer must not meet the next question.
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
