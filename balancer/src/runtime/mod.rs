//! Carries the engine's actions out and brings events back: between the engine, tor and the signer.
//!
//! One task owns all state and never waits for anything but the next message. What takes time (the signer's answer,
//! tor's replies) runs in tasks of its own, which report to it.

mod fetching;
mod link;
mod network;
mod notice;
mod publication;
mod publishing;
mod readback;
mod uploads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use rand_core::OsRng;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

pub use link::Link;

use crate::engine::{Action, BackendId, Engine, Event, Now, ServiceId, ServiceSpec, Settings};
use crate::relay::Fingerprint;
use crate::signer::SignerClient;
use crate::status::{Reader, StatusSockets};
use crate::tor::event::{HsDesc, Service, StatusClient};
use crate::tor::{Connection, Event as TorEvent, SessionError};
use crate::v3::backend::BackendPoint;
use crate::v3::directory::Directory;
use link::FromTor;
use publication::{Outcome, Publication};
use readback::ReadBacks;
use uploads::Uploads;

type Frontend = crate::config::Frontend<OnionAddress, OnionAddress>;

/// How long the status socket rests when it cannot be served.
const STATUS_AGAIN: Duration = Duration::from_secs(1);

/// All that runs.
pub struct Runtime {
    engine: Engine<BackendPoint, OsRng>,
    began: Instant,
    frontends: HashMap<ServiceId, Frontend>,
    backends: HashMap<BackendId, OnionAddress>,
    signer: Arc<Mutex<SignerClient>>,
    tor: Option<Connection>,
    /// The engine is told that tor is ready when it knows where everything is.
    engine_waits_for_directory: bool,
    directory: Option<Directory>,
    reading_directory: Option<JoinHandle<()>>,
    uploads: Uploads,
    read_backs: ReadBacks,
    reports: mpsc::UnboundedSender<Report>,
}

/// What tasks report.
enum Report {
    Directory(Box<Directory>),
    /// These HSDirs will not answer a fetch.
    NotFetched(OnionAddress, Vec<Fingerprint>),
    Published(Publication, Outcome),
}

impl Runtime {
    /// A runtime that has not begun. The second part is what [`Runtime::run`] listens to.
    pub fn new(frontends: Vec<Frontend>, signer: SignerClient) -> (Self, Reports) {
        let specs = frontends.iter().map(service_spec).collect();
        let backends = frontends.iter().flat_map(|frontend| &frontend.backends);
        let (reports, receiver) = mpsc::unbounded_channel();
        let runtime = Self {
            engine: Engine::new(specs, Settings::default(), OsRng),
            began: Instant::now(),
            backends: backends.map(|address| (backend_id(address), *address)).collect(),
            frontends: frontends
                .into_iter()
                .map(|frontend| (service_id(&frontend.address), frontend))
                .collect(),
            signer: Arc::new(Mutex::new(signer)),
            tor: None,
            engine_waits_for_directory: false,
            directory: None,
            reading_directory: None,
            uploads: Uploads::default(),
            read_backs: ReadBacks::default(),
            reports,
        };
        (runtime, Reports(receiver))
    }

    /// Balances until tor turns out never to let us in.
    pub async fn run(&mut self, reports: &mut Reports, link: Link, status: StatusSockets) -> SessionError {
        let (to_us, mut from_tor) = mpsc::channel(64);
        let link = tokio::spawn(link.run(to_us));
        let refused = loop {
            let deadline = self.engine.next_deadline().map(|deadline| self.began + deadline);
            tokio::select! {
                message = from_tor.recv() => match message {
                    Some(FromTor::Refused(error)) => break error,
                    Some(message) => self.on_tor(message),
                    None => break SessionError::Control(crate::tor::control::Closed::ByUs.into()),
                },
                Some(report) = reports.0.recv() => self.on_report(report),
                () = sleep_until(deadline) => self.tell_engine(Event::Tick),
                Some(reader) = reader(&status) => {
                    let text = reader.form().render(&self.engine.status(self.now()), self.now());
                    tokio::spawn(reader.tell(text));
                }
            }
        };
        link.abort();
        refused
    }

    fn now(&self) -> Now {
        Now { elapsed: self.began.elapsed(), wall: wall_clock() }
    }

    fn tell_engine(&mut self, event: Event<BackendPoint>) {
        for action in self.engine.handle(self.now(), event) {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action<BackendPoint>) {
        match action {
            Action::Fetch { backend, from } => {
                if let Some(address) = self.backends.get(&backend) {
                    self.fetch(*address, from);
                }
            }
            Action::Publish { id, service, slot, points, to, revision_floor } => {
                let points = points.into_iter().map(|chosen| chosen.point).collect();
                self.publish(id, &service, slot, points, to, revision_floor);
            }
            Action::ReadBack { service, slot, hsdir } => self.read_back(service, slot, hsdir),
            Action::Notice(notice) => notice::log(&notice),
        }
    }

    fn on_tor(&mut self, message: FromTor) {
        match message {
            FromTor::Ready(connection) => {
                self.tor = Some(connection);
                self.engine_waits_for_directory = true;
                self.read_directory();
            }
            FromTor::Lost => {
                self.tor = None;
                self.uploads.clear();
                self.read_backs.clear();
                self.reading_directory.take().inspect(JoinHandle::abort);
                self.tell_engine(Event::TorLost);
            }
            FromTor::Event(event) => self.on_tor_event(*event),
            FromTor::Refused(_) => {}
        }
    }

    fn on_tor_event(&mut self, event: TorEvent) {
        match event {
            TorEvent::StatusClient(StatusClient::ConsensusArrived) => self.read_directory(),
            TorEvent::StatusClient(status) => debug!(?status, "tor's status"),
            TorEvent::HsDesc(event) => self.on_hs_desc(event),
            TorEvent::HsDescContent(content) => self.on_content(&content),
        }
    }

    fn on_hs_desc(&mut self, event: HsDesc) {
        match event {
            HsDesc::Uploaded { address: Service::V3(address), hsdir } => self.on_uploaded(address, hsdir),
            HsDesc::Failed { address: Service::V3(address), hsdir: Some(hsdir), descriptor_id, reason } => {
                debug!(%address, %hsdir, reason, "tor reports a failure");
                // The event is the same for fetches and uploads.
                if !self.on_fetch_failed(address, hsdir, &reason)
                    && let Some(descriptor) = descriptor_id
                {
                    self.on_upload_failed(address, hsdir, &descriptor, reason);
                }
            }
            _ => {}
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Directory(directory) => self.on_directory(*directory),
            Report::NotFetched(address, hsdirs) => self.on_not_fetched(address, hsdirs),
            Report::Published(publication, outcome) => self.on_published(&publication, outcome),
        }
    }
}

/// What [`Runtime::run`] listens to beside tor.
pub struct Reports(mpsc::UnboundedReceiver<Report>);

/// The next who wants to know the status.
async fn reader(status: &StatusSockets) -> Option<Reader> {
    match status.reader().await {
        Ok(reader) => Some(reader),
        Err(error) => {
            warn!("a reader of the status was lost: {error}");
            // Out of descriptors, mostly: to try again at once would only fill the log.
            tokio::time::sleep(STATUS_AGAIN).await;
            None
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn service_spec(frontend: &Frontend) -> ServiceSpec {
    ServiceSpec {
        id: service_id(&frontend.address),
        backends: frontend.backends.iter().map(backend_id).collect(),
        max_points: onionbalance_proto::v3::document::MAX_POINTS,
    }
}

fn service_id(address: &OnionAddress) -> ServiceId {
    ServiceId::from(address.to_string().as_str())
}

fn backend_id(address: &OnionAddress) -> BackendId {
    BackendId::from(address.to_string().as_str())
}

fn wall_clock() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
