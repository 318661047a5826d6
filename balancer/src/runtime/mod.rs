//! Carries the engine's actions out and brings events back: between the engine, tor and the signer.
//!
//! One task owns all state and never waits for anything but the next message. What takes time (the signer's answer,
//! tor's replies) runs in tasks of its own, which report to it. There is one runtime for each tor and generation.

mod board;
mod client_fetch;
mod fetching;
mod link;
mod network;
mod notice;
mod publication;
mod publishing;
mod readback;
mod report;
mod runtimes;
mod survey;
mod uploads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use onionbalance_proto::config::Tuning;
use onionbalance_proto::time::UnixTime;
use rand_core::OsRng;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

pub use board::{Inquiry, State, StatusBoard, TorState};
pub use link::{Link, LinkError, Patience};
pub use report::ServiceReport;
pub use runtimes::{Configuration, Runtimes, Share, Work};

use crate::confinement::Confinement;
use crate::engine::{
    Action, BackendId, Engine, Event, Now, ServiceId, ServiceSpec, ServiceStatus, Settings, Timing,
};
use crate::generation::{Frontend, Generation};
use crate::names::{Introductions, Names};
use crate::relay::Fingerprint;
use crate::signer::SignerClient;
use crate::state::Memory;
use crate::tor::event::{HsDesc, StatusClient};
use crate::tor::{Endpoint, Event as TorEvent};
use client_fetch::{ClientFetches, VisitError};
use fetching::Question;
use link::{FromTor, Tor};
use network::View;
use publication::{Outcome, Publication};
use readback::ReadBacks;
use survey::{Surveyed, Surveys};
use uploads::Uploads;

/// All that runs.
pub struct Runtime<G: Generation> {
    engine: Engine<G::Point, OsRng>,
    began: Instant,
    frontends: Arc<HashMap<ServiceId, Arc<Frontend<G>>>>,
    backends: Arc<HashMap<BackendId, G::Backend>>,
    known: Introductions,
    signer: Arc<Mutex<SignerClient>>,
    memory: Memory,
    tor: Option<Tor>,
    /// When tor came or went.
    tor_changed: Instant,
    /// The engine is told that tor is ready when it knows where everything is.
    engine_waits_for_directory: bool,
    directory: Option<Arc<G::Directory>>,
    reading_directory: Option<JoinHandle<()>>,
    surveys: Surveys<G>,
    view: View,
    uploads: Uploads,
    read_backs: ReadBacks,
    client_fetches: ClientFetches,
    reports: mpsc::UnboundedSender<Report<G>>,
}

/// How a runtime ended.
#[derive(Debug)]
pub enum End {
    /// Tor will never let us in.
    Refused(LinkError),
    /// Its frontends are balanced no more, or by another tor.
    NotNeeded,
}

/// What tasks report.
enum Report<G: Generation> {
    Directory(Box<G::Directory>),
    Surveyed(Box<Surveyed<G>>),
    /// These HSDirs will not answer.
    NotAsked(Question, Vec<Fingerprint>),
    Visited(BackendId, Result<(), VisitError>),
    Published(Publication<G>, Outcome),
}

impl<G: Generation> Runtime<G> {
    /// A runtime that has not begun. The second part is what [`Runtime::run`] listens to.
    pub fn new(
        frontends: Vec<Frontend<G>>,
        signer: Arc<Mutex<SignerClient>>,
        memory: Memory,
        tuning: &Tuning,
        names: Names,
    ) -> (Self, Reports<G>) {
        let settings = Settings { timing: timing::<G>(tuning), ..Settings::default() };
        let (reports, receiver) = mpsc::unbounded_channel();
        let backends = backends(&frontends);
        let mut runtime = Self {
            engine: Engine::new(&service_specs(&frontends, tuning), settings, OsRng),
            began: Instant::now(),
            client_fetches: ClientFetches::new(&backends, G::credential),
            backends: Arc::new(backends),
            frontends: Arc::new(by_service(frontends)),
            known: Introductions::new(names),
            signer,
            memory,
            tor: None,
            tor_changed: Instant::now(),
            engine_waits_for_directory: false,
            directory: None,
            reading_directory: None,
            surveys: Surveys::default(),
            view: View::new(UnixTime(0)),
            uploads: Uploads::default(),
            read_backs: ReadBacks::default(),
            reports,
        };
        runtime.engine.remember(&runtime.memory.recall());
        (runtime, Reports(receiver))
    }

    /// Balances until tor turns out never to let us in, or nobody is left who could say what to balance.
    pub async fn run(
        mut self,
        mut reports: Reports<G>,
        link: Link,
        patience: Patience,
        confinement: Confinement,
        mut configurations: mpsc::UnboundedReceiver<Configuration<G>>,
        mut inquiries: mpsc::Receiver<Inquiry>,
    ) -> End {
        let (to_us, mut from_tor) = mpsc::channel(64);
        let endpoints = link.endpoints.clone();
        let link = tokio::spawn(link.run(G::check_tor, patience, confinement, to_us));
        let end = loop {
            self.heed_the_clock();
            let engine = self.engine.next_deadline().map(|deadline| self.began + deadline);
            let deadline = [engine, self.next_look_at_the_clock()].into_iter().flatten().min();
            tokio::select! {
                message = from_tor.recv() => match message {
                    Some(FromTor::Refused(error)) => break End::Refused(error),
                    Some(message) => self.on_tor(message),
                    None => break End::NotNeeded,
                },
                configuration = configurations.recv() => match configuration {
                    Some(configuration) => self.configure(configuration),
                    None => break End::NotNeeded,
                },
                Some(report) = reports.0.recv() => self.on_report(report),
                () = sleep_until(deadline) => self.tell_engine(Event::Tick),
                // Whoever does not wait for the answer does without.
                Some(inquiry) = inquiries.recv() => drop(inquiry.send(self.state(&endpoints))),
            }
        };
        link.abort();
        end
    }

    /// Balances these frontends from now on; what is known of those that stay is kept.
    fn configure(&mut self, configuration: Configuration<G>) {
        let Configuration { frontends, tuning, names } = configuration;
        self.known.configure(names);
        let specs = service_specs(&frontends, &tuning);
        self.backends = Arc::new(backends(&frontends));
        self.frontends = Arc::new(by_service(frontends));
        self.client_fetches.configure(&self.backends, G::credential);
        if let Some(tor) = &self.tor {
            self.client_fetches.begin(&tor.connection, &self.reports);
        }
        self.tell_engine(Event::Configuration(specs));
        self.engine.remember(&self.memory.recall());
        self.tell_engine(Event::Timing(timing::<G>(&tuning)));
        self.show_network();
    }

    fn state(&self, endpoints: &[Endpoint]) -> TorState {
        let names = self.known.names();
        let report = |status: ServiceStatus| {
            let frontend = self.frontends.get(&status.service);
            let client_line =
                frontend.and_then(|frontend| G::client_line(&frontend.address, &frontend.backends));
            ServiceReport { status, names: names.clone(), client_line }
        };
        TorState {
            endpoints: endpoints.to_vec(),
            is_ready: self.tor.is_some(),
            since: self.tor_changed.elapsed(),
            services: self.engine.status(self.now()).into_iter().map(report).collect(),
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.began.elapsed(), wall: wall_clock() }
    }

    fn tell_engine(&mut self, event: Event<G::Point>) {
        for action in self.engine.handle(self.now(), event) {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action<G::Point>) {
        match action {
            Action::Fetch { backend, from } => self.fetch(&backend, &from),
            Action::Publish { id, service, slot, points, to, revision_floor } => {
                let points = points.into_iter().map(|chosen| chosen.point).collect();
                self.publish(id, &service, slot, points, to, revision_floor);
            }
            Action::ReadBack { service, slot, hsdir } => self.read_back(service, slot, hsdir),
            Action::Notice(notice) => notice::log(&notice, &mut self.known, G::REPLICAS_DIFFER),
        }
    }

    fn on_tor(&mut self, message: FromTor) {
        match message {
            FromTor::Ready(tor) => {
                self.client_fetches.begin(&tor.connection, &self.reports);
                self.tor = Some(tor);
                self.tor_changed = Instant::now();
                self.engine_waits_for_directory = true;
                self.read_directory();
            }
            FromTor::Lost => {
                self.tor = None;
                self.tor_changed = Instant::now();
                self.uploads.clear();
                self.read_backs.clear();
                self.client_fetches.end();
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
            HsDesc::Uploaded { address, hsdir } => {
                self.on_uploaded(&ServiceId::from(address.address().as_str()), hsdir);
            }
            HsDesc::Failed { address, hsdir: Some(hsdir), descriptor_id, authorization, reason } => {
                let address = address.address();
                debug!(address, %hsdir, reason, "tor reports a failure");
                // The event is the same for fetches and uploads.
                if !self.on_client_fetch_failed(&address, authorization, &reason)
                    && !self.on_fetch_failed(hsdir, descriptor_id.as_ref(), &reason)
                {
                    let service = ServiceId::from(address.as_str());
                    self.on_upload_failed(&service, hsdir, descriptor_id.as_ref(), reason);
                }
            }
            // Before 0.3.1 tor falls silent instead.
            HsDesc::Failed { address, hsdir: None, .. } => {
                self.on_no_hsdir_left(&BackendId::from(address.address().as_str()));
            }
            _ => {}
        }
    }

    fn on_report(&mut self, report: Report<G>) {
        match report {
            Report::Directory(directory) => self.on_directory(*directory),
            Report::Surveyed(surveyed) => self.on_surveyed(*surveyed),
            Report::NotAsked(question, hsdirs) => self.on_not_asked(&question, hsdirs),
            Report::Visited(backend, result) => self.on_visited(&backend, result),
            Report::Published(publication, outcome) => self.on_published(&publication, outcome),
        }
    }
}

/// What [`Runtime::run`] listens to beside tor.
pub struct Reports<G: Generation>(mpsc::UnboundedReceiver<Report<G>>);

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// All backends, each once. Of one that several frontends share, with and without the means to open it, the means count.
fn backends<G: Generation>(frontends: &[Frontend<G>]) -> HashMap<BackendId, G::Backend> {
    let mut backends = HashMap::new();
    for backend in frontends.iter().flat_map(|frontend| &frontend.backends) {
        let id = backend_id::<G>(backend);
        if !backends.contains_key(&id) || G::credential(backend).is_some() {
            backends.insert(id, backend.clone());
        }
    }
    backends
}

fn timing<G: Generation>(tuning: &Tuning) -> Timing {
    let timing = G::timing(tuning);
    Timing {
        refresh: tuning.refresh.unwrap_or(timing.refresh),
        settle: tuning.initial_delay.unwrap_or(timing.settle),
        ..timing
    }
}

fn service_specs<G: Generation>(frontends: &[Frontend<G>], tuning: &Tuning) -> Vec<ServiceSpec> {
    let spec = |frontend: &Frontend<G>| ServiceSpec {
        id: service_id::<G>(&frontend.address),
        backends: frontend.backends.iter().map(backend_id::<G>).collect(),
        max_points: G::max_points(tuning),
        distinct: tuning.distinct,
        proof: G::PROOF,
    };
    frontends.iter().map(spec).collect()
}

fn by_service<G: Generation>(frontends: Vec<Frontend<G>>) -> HashMap<ServiceId, Arc<Frontend<G>>> {
    let named = |frontend: Frontend<G>| (service_id::<G>(&frontend.address), Arc::new(frontend));
    frontends.into_iter().map(named).collect()
}

fn service_id<G: Generation>(address: &G::Address) -> ServiceId {
    ServiceId::from(address.to_string().as_str())
}

fn backend_id<G: Generation>(backend: &G::Backend) -> BackendId {
    BackendId::from(G::backend_address(backend).to_string().as_str())
}

/// The time, by this machine's clock.
pub fn wall_clock() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
