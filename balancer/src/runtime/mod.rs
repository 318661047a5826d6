//! The connection between the engine, the network and the signer: it carries the engine's actions out, and
//! brings events back.
//!
//! One task owns all state, and waits for nothing except the next message. The network takes requests and
//! answers them by messages; the signer is asked by one task at a time, which reports. There is one runtime
//! for each tor and version.

mod access;
mod behind;
mod board;
mod consensus;
mod directories;
mod directory;
mod draining;
mod durations;
mod fetching;
mod fleet;
mod history;
mod kept;
mod notice;
mod pool;
mod post_count;
mod posts;
mod probing;
mod publishing;
mod report;
mod runtimes;
mod signing;
mod survey;
mod tally;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use onionbalance_proto::config::Tuning;
use onionbalance_proto::time::UnixTime;
use rand_core::OsRng;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use behind::Behind;
pub use board::{Delegations, Inquiry, Loaded, RefusedReload, State, StatusBoard, TorState};
pub use consensus::ConsensusAge;
pub use durations::{Durations, PROBE_BOUNDS, PUBLICATION_BOUNDS, SIGNATURE_BOUNDS};
pub use fleet::Configuration;
pub use history::Happening;
pub use notice::Words;
pub use pool::Share;
pub use post_count::PostLoad;
pub use report::{DescriptorReport, ServiceReport};
pub use runtimes::{Runtimes, Work};
pub use tally::{Activity, Fetches, Probes, Publications, Signatures, Uploads};
pub use usage::Usage;

use crate::endpoint::Endpoint;
use crate::engine::{
    Action, BackendId, DescriptorStatus, Engine, EngineConfiguration, Event, Notice, Now, ServiceId,
    ServiceSpec, ServiceStatus, Settings, Timing,
};
use crate::names::Introductions;
use crate::network::{Message, Network, RequestId};
use crate::onion_version::{Directory, Frontend, OnionVersion, Rings};
use crate::repeats::{Occurrence, Repeats};
use crate::signer::SharedSigner;
use crate::state::{AllDrains, Memory};
use access::Access;
use consensus::ConsensusWatch;
use directories::Directories;
use directory::Reading;
use draining::DrainWatch;
use fetching::Questions;
use history::History;
use kept::KeptTexts;
use pool::Presence;
use post_count::PostCount;
use posts::Posts;
use probing::OpenProbes;
use signing::{Answer, Publication, SigningLine};
use survey::{Surveyed, Surveys, View};
use tally::Tally;

/// The state of a runtime.
pub struct Runtime<V: OnionVersion, N: Network> {
    engine: Engine<V::Point, OsRng>,
    began: Instant,
    frontends: Arc<HashMap<ServiceId, Arc<Frontend<V>>>>,
    backends: Arc<HashMap<BackendId, V::Backend>>,
    known: Introductions,
    signer: SharedSigner,
    signing: SigningLine<V>,
    memory: Memory,
    drains: DrainWatch,
    network: N,
    access: Access,
    /// True if the network is ready but not surveyed yet: only then the engine learns that tor is ready.
    engine_waits_for_directory: bool,
    directory: Option<Arc<V::Directory>>,
    directories: Directories<V::Directory>,
    surveys: Surveys<V>,
    reading: Reading,
    consensus: ConsensusWatch,
    view: View,
    last_request: RequestId,
    questions: Questions,
    probes: OpenProbes,
    kept: KeptTexts,
    posts: Posts,
    post_count: PostCount,
    tally: Tally,
    history: History,
    repeats: Repeats,
    /// The number of posts after which tor is due for a restart; `None`: it never is.
    restart_hint: Option<u64>,
    reports: Reports<V>,
    /// The events that the engine has not handled yet.
    events: VecDeque<Event<V::Point>>,
    is_telling: bool,
}

/// The reason for which a runtime ended.
#[derive(Debug)]
pub enum End<E> {
    /// There will never be a network, for this reason.
    Refused(E),
    /// Its frontends are no longer balanced, or by another tor.
    NotNeeded,
}

/// A report of a task.
enum Report<V: OnionVersion> {
    /// The publication that was to be signed, and the signer's answer.
    Signed(Publication<V>, Answer<V>),
    Surveyed(Box<Surveyed<V>>),
}

/// Both ends of the channel for reports.
struct Reports<V: OnionVersion> {
    to_us: mpsc::UnboundedSender<Report<V>>,
    received: mpsc::UnboundedReceiver<Report<V>>,
}

impl<V: OnionVersion, N: Network> Runtime<V, N> {
    /// A runtime that has not begun.
    pub fn new(
        configuration: Configuration<V>,
        network: N,
        signer: SharedSigner,
        memory: Memory,
        presence: Presence,
        directories: Directories<V::Directory>,
    ) -> Self {
        let Configuration { frontends, tuning, names, kept_bytes } = configuration;
        let (to_us, received) = mpsc::unbounded_channel();
        let backends = backends(&frontends);
        let mut drains = DrainWatch::new(&memory);
        let engine = engine_configuration(&frontends, &backends, &tuning, &memory, &drains.present());
        Self {
            engine: Engine::new(engine, OsRng),
            began: Instant::now(),
            backends: Arc::new(backends),
            frontends: Arc::new(by_service(frontends)),
            known: Introductions::new(names),
            signer,
            signing: SigningLine::new(),
            memory,
            drains,
            network,
            access: Access::new(presence),
            engine_waits_for_directory: false,
            directory: None,
            directories,
            surveys: Surveys::default(),
            reading: Reading::default(),
            consensus: ConsensusWatch::default(),
            view: View::new(UnixTime(0)),
            last_request: RequestId(0),
            questions: Questions::default(),
            probes: OpenProbes::default(),
            kept: KeptTexts::new(kept_bytes),
            posts: Posts::default(),
            post_count: PostCount::new(Instant::now()),
            tally: Tally::default(),
            history: History::default(),
            repeats: Repeats::default(),
            restart_hint: tuning.tor_restart_hint,
            reports: Reports { to_us, received },
            events: VecDeque::new(),
            is_telling: false,
        }
    }

    /// Balances until the network is unusable, or the sender of configurations is dropped. `endpoints` are
    /// tor's control ports, for the status.
    pub async fn run(
        mut self,
        endpoints: Vec<Endpoint>,
        mut configurations: mpsc::UnboundedReceiver<Configuration<V>>,
        mut inquiries: mpsc::Receiver<Inquiry>,
    ) -> End<N::Error> {
        loop {
            self.heed_the_clock();
            let engine = self.engine.next_deadline().map(|deadline| self.began + deadline);
            let clock = self.next_look_at_the_clock();
            let deadline = engine.map_or(clock, |engine| engine.min(clock));
            tokio::select! {
                message = self.network.next() => match message {
                    Message::Unusable(error) => return End::Refused(error),
                    message => self.on_network(message),
                },
                configuration = configurations.recv() => match configuration {
                    Some(configuration) => self.configure(configuration),
                    None => return End::NotNeeded,
                },
                () = self.drains.changed() => self.on_drains(),
                Some(report) = self.reports.received.recv() => self.on_report(report),
                () = tokio::time::sleep_until(deadline) => self.tell_engine(Event::Tick),
                // The answer is lost if the inquirer no longer waits for it.
                Some(inquiry) = inquiries.recv() => drop(inquiry.send(self.state(&endpoints))),
            }
        }
    }

    /// Balances these frontends from now on. The state of those that stay is kept.
    fn configure(&mut self, configuration: Configuration<V>) {
        let Configuration { frontends, tuning, names, kept_bytes } = configuration;
        self.known.configure(names);
        self.kept.limit(kept_bytes);
        let backends = backends(&frontends);
        let drains = self.drains.present();
        let configuration = engine_configuration(&frontends, &backends, &tuning, &self.memory, &drains);
        self.backends = Arc::new(backends);
        self.frontends = Arc::new(by_service(frontends));
        let (services, backends) = (&self.frontends, &self.backends);
        self.tally.retain(|id| services.contains_key(id), |id| backends.contains_key(id));
        self.tell_engine(Event::Configuration(Box::new(configuration)));
        self.restart_hint = tuning.tor_restart_hint;
        self.post_count.judge(self.restart_hint);
        self.show_network();
    }

    /// Tells the engine of drains that begin, end or are others. It ignores services that it does not have.
    fn on_drains(&mut self) {
        for (service, drains) in self.drains.differences() {
            self.tell_engine(Event::Drains { service, drains });
        }
    }

    fn state(&mut self, endpoints: &[Endpoint]) -> TorState {
        let names = self.known.names();
        let report = |status: ServiceStatus| {
            let frontend = self.frontends.get(&status.service);
            let client_line =
                frontend.and_then(|frontend| V::client_line(&frontend.address, &frontend.backends));
            let descriptor = |DescriptorStatus { slot, .. }: &DescriptorStatus| DescriptorReport {
                period: self
                    .directory
                    .as_ref()
                    .zip(frontend)
                    .map(|(directory, frontend)| directory.period(&frontend.address, *slot)),
                bytes: self.tally.size_of(&status.service, *slot),
            };
            ServiceReport {
                descriptors: status.descriptors.iter().map(descriptor).collect(),
                uploads: self.tally.uploads_of(&status.service),
                publications: self.tally.publications_of(&status.service),
                activity: self
                    .tally
                    .activity_of(&status.service, status.backends.iter().map(|of| &of.backend)),
                fetches: status.backends.iter().map(|of| self.tally.fetches_of(&of.backend)).collect(),
                probes: status.backends.iter().map(|of| self.tally.probes_of(&of.backend)).collect(),
                status,
                names: names.clone(),
                client_line,
            }
        };
        let posts = self.post_count.load(Instant::now(), self.restart_hint);
        TorState {
            endpoints: endpoints.to_vec(),
            is_ready: self.access.is_ready(),
            since: self.access.age(),
            version: self.access.version().map(str::to_owned),
            absence: self.access.absence().cloned(),
            reconnects: self.access.reconnects(),
            hsdirs: self.directory.as_ref().map(|directory| directory.hsdirs()),
            lifetime: self.directory.as_ref().map(|directory| *directory.lifetime()),
            consensus: self.consensus.age(),
            load: self.engine.load(self.now()),
            posts,
            signatures: self.tally.signatures(),
            rings: self.directory.clone().map(|directory| directory as Arc<dyn Rings>),
            services: self.engine.status(self.now()).into_iter().map(report).collect(),
            history: self.history.last(Instant::now()),
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.began.elapsed(), wall: onionbalance_process::now() }
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request.0 += 1;
        self.last_request
    }

    /// Hands the engine an event, and carries its actions out. Resulting events are handed over afterwards.
    fn tell_engine(&mut self, event: Event<V::Point>) {
        self.events.push_back(event);
        if std::mem::replace(&mut self.is_telling, true) {
            return;
        }
        while let Some(event) = self.events.pop_front() {
            for action in self.engine.handle(self.now(), event) {
                self.carry_out(action);
            }
        }
        self.is_telling = false;
    }

    fn carry_out(&mut self, action: Action<V::Point>) {
        match action {
            Action::Fetch { backend, from } => self.fetch(&backend, from),
            Action::Publish { id, service, slot, posts, revision } => {
                self.publish(id, service, slot, posts, revision);
            }
            Action::ReadBack { service, slot, hsdir } => self.read_back(service, slot, hsdir),
            Action::Probe { id, backend, check } => self.probe(id, backend, check),
            Action::Notice(notice) => self.note(&notice),
        }
    }

    /// Logs a notice, and keeps it for the status.
    fn note(&mut self, notice: &Notice) {
        if let Notice::DrainEnded { .. } = notice {
            // Otherwise a clock that is set back would begin it again at a restart.
            self.memory.forget_ended_drains(self.now().wall);
        }
        let (words, now) = (Words::of(notice, self.known.names()), Instant::now());
        let words = match notice {
            Notice::NotPosted { problem, .. } if self.signer.is_trouble(problem) => words.because_of_signer(),
            _ => words,
        };
        if let Some(occurrence) = self.occurrence(notice, &words, now) {
            words.log(occurrence, &mut self.known, V::REPLICAS_DIFFER);
        }
        self.tally.notice(notice, &words);
        self.history.add(now, words);
    }

    /// Counts a notice that repeats another. `None`: it is not to be logged.
    fn occurrence(&mut self, notice: &Notice, words: &Words, now: Instant) -> Option<Occurrence> {
        if let Some((topic, subject)) = words.ends() {
            self.repeats.end(topic, subject, now);
        }
        let Some((topic, reason, subject)) = words.repeats() else { return Some(Occurrence::ONLY) };
        match notice {
            Notice::NotPosted { problem, .. } if self.signer.is_trouble(problem) => {
                self.signer.note_trouble(problem, subject, now)
            }
            _ => self.repeats.note(topic, &reason, subject, now),
        }
    }

    fn on_report(&mut self, report: Report<V>) {
        match report {
            Report::Signed(publication, answer) => self.on_signed(publication, answer),
            Report::Surveyed(surveyed) => self.on_surveyed(*surveyed),
        }
    }

    fn on_network(&mut self, message: Message<N::Error>) {
        match message {
            Message::Ready { uptime, version } => {
                self.post_count.tor_ready(Instant::now(), uptime);
                self.access.ready(version);
                self.engine_waits_for_directory = true;
                self.read_directory();
            }
            Message::Lost => {
                self.access.lost();
                self.engine_waits_for_directory = false;
                self.stop_reading();
                self.signing.clear();
                self.questions.clear();
                self.probes.clear();
                self.posts.clear();
                self.tell_engine(Event::TorLost);
            }
            Message::Absent(absence) => self.access.absent(absence),
            // This ends the runtime, and is handled by its caller.
            Message::Unusable(_) => {}
            Message::DirectoryChanged => self.read_directory(),
            Message::Directory(documents) => self.on_directory(documents),
            Message::Fetched(request, fetched) => self.on_fetched(request, fetched),
            Message::Posted(request) => self.on_posted(request),
            Message::NotPosted(request, problem) => self.on_not_posted(request, &problem),
            Message::Uploaded(request, hsdir, verdict) => self.on_uploaded(request, hsdir, verdict),
            Message::Probed(request, probed) => self.on_probed(request, &probed),
        }
    }
}

/// All backends, each once. If several frontends share one, the entry that has the means to open its
/// descriptor wins.
fn backends<V: OnionVersion>(frontends: &[Frontend<V>]) -> HashMap<BackendId, V::Backend> {
    let mut backends = HashMap::new();
    for backend in frontends.iter().flat_map(|frontend| &frontend.backends) {
        let id = backend_id::<V>(backend);
        if !backends.contains_key(&id) || V::is_client(backend) {
            backends.insert(id, backend.clone());
        }
    }
    backends
}

/// The part of a configuration that the engine needs, the same at the start and after a reload.
fn engine_configuration<V: OnionVersion>(
    frontends: &[Frontend<V>],
    backends: &HashMap<BackendId, V::Backend>,
    tuning: &Tuning,
    memory: &Memory,
    drains: &AllDrains,
) -> EngineConfiguration {
    let timing = V::timing(tuning);
    let timing = Timing {
        refresh: tuning.refresh.unwrap_or(timing.refresh),
        settle: tuning.initial_delay.unwrap_or(timing.settle),
        ..timing
    };
    // Names are shared with `backends`.
    let name = |backend: &V::Backend| {
        let (name, _) = backends.get_key_value(&backend_id::<V>(backend))?;
        Some(name.clone())
    };
    let spec = |frontend: &Frontend<V>| {
        let id = ServiceId::of(&frontend.address);
        ServiceSpec {
            drains: drains.get(&id).cloned().unwrap_or_default(),
            id,
            backends: frontend.backends.iter().filter_map(name).collect(),
            weights: frontend.weights.clone(),
            checks: frontend.checks.clone(),
            max_points: V::max_points(tuning),
            distinct: tuning.distinct,
            proof: V::PROOF,
        }
    };
    EngineConfiguration {
        services: frontends.iter().map(spec).collect(),
        settings: Settings { timing, ..Settings::default() },
        newest: memory.recall(),
    }
}

fn by_service<V: OnionVersion>(frontends: Vec<Frontend<V>>) -> HashMap<ServiceId, Arc<Frontend<V>>> {
    let named = |frontend: Frontend<V>| (ServiceId::of(&frontend.address), Arc::new(frontend));
    frontends.into_iter().map(named).collect()
}

fn backend_id<V: OnionVersion>(backend: &V::Backend) -> BackendId {
    BackendId::of(&V::backend_address(backend))
}
