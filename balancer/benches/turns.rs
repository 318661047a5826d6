//! The longest turns of the loop that balances: the work that one event can cause, with many backends. Times
//! are processor times, so that a busy machine does not matter.
//!
//! `cargo bench --package onionbalance --bench turns [SERVICES [BACKENDS]]`. No turn that is marked with
//! `loop` may take more than 50 ms at 1 000 services with 10 backends each, the default.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use onionbalance::config::Configuration;
use onionbalance::engine::{
    Action, BackendId, DescriptorCopy, Drains, Engine, EngineConfiguration, Event, FetchOutcome, NetworkView,
    Newest, Now, ServiceId, ServiceSpec, Settings, UploadOutcome, Weights,
};
use onionbalance::onion_version::{Directory as _, Known, OnionVersion};
use onionbalance::state::Memory;
use onionbalance::v3::V3;
use onionbalance::v3::backend::{BackendClaims, BackendPoint, CertifiedPoint};
use onionbalance::v3::directory::Directory;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{Held, HeldService};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use synthetic::{Shape, texts};

type Copy = DescriptorCopy<BackendPoint>;

const RELAYS: usize = 9_000;
const POINTS: usize = 3;
/// The valid-after time of the first consensus; those of the next day follow each other by the hour.
const BEGIN: UnixTime = UnixTime(1_795_312_800);
const SIMULATED: Duration = Duration::from_secs(3 * 3600);
/// The time between a turn that leaves work and the next.
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (services, backends) = (numbers.next().unwrap_or(1000), numbers.next().unwrap_or(10));
    println!("{services} services with {backends} backends each");
    let made_up: Vec<_> = (0..services * backends).map(Backend::new).collect();
    let addresses: Vec<_> = timed("addresses made", || made_up.iter().map(Backend::address).collect());
    let fronts: Vec<_> = (0..services).map(|number| Backend::new(1 << 40 | number).address()).collect();
    let per = usize::try_from(backends).unwrap();
    let parts: Vec<(OnionAddress, &[OnionAddress])> =
        fronts.iter().copied().zip(addresses.chunks(per)).collect();

    configuration(&parts);
    let directories = [0, 24].map(directory);
    let mut known = <V3 as OnionVersion>::Known::default();
    let [first, next] = [&directories[0], &directories[1]].map(|directory| {
        timed("survey, keys unknown", || network(directory, &parts, &mut known));
        timed("survey, keys known", || network(directory, &parts, &mut known))
    });
    let copies = timed("descriptors made", || copies(&made_up));
    memory(&addresses);
    engine(&parts, &copies, first, next);
}

/// Calls `act`, and prints its processor time under the name `what`.
fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = processor_time();
    let result = act();
    show(what, processor_time().saturating_sub(begun));
    result
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn show(what: &str, time: Duration) {
    println!("{what:44} {:>10}", format!("{time:.2?}"));
}

/// A reload (SIGHUP): reads the file, and compares it with the signer's list of held services.
fn configuration(parts: &[(OnionAddress, &[OnionAddress])]) {
    let directory = tempfile::tempdir().unwrap();
    let mut yaml = String::from("services:\n");
    let mut held = Vec::new();
    for (number, (address, backends)) in parts.iter().enumerate() {
        write!(yaml, "- key: {number}.pem\n  instances:\n").unwrap();
        for backend in *backends {
            writeln!(yaml, "  - address: {backend}").unwrap();
        }
        let service = Held { key: format!("{number}.pem"), address: *address, backends: backends.to_vec() };
        held.push(HeldService::V3 { held: service, delegation_ends: None });
    }
    let path = directory.path().join("config.yaml");
    fs::write(&path, yaml).unwrap();
    let configuration = timed("configuration read", || Configuration::read(&path).unwrap());
    timed("loop: frontends of the signer's answer", || configuration.frontends(&held).unwrap());
    timed("loop: excess of the signer's answer", || configuration.excess(&held));
    let text = parts[0].1[0].to_string();
    timed("loop: an address of the signer's answer", || text.parse::<OnionAddress>().unwrap());
}

/// The network this number of hours after the beginning.
fn directory(hours: u64) -> Directory {
    let mut rng = StdRng::seed_from_u64(9);
    let time = |hour: u64| format!("2026-11-{} {:02}:00:00", 22 + hour / 24, hour % 24);
    let shape = Shape {
        relays: RELAYS,
        hsdirs_percent: 50,
        times: [hours + 2, hours + 3, hours + 5].map(time),
        params: String::new(),
        shared_random: [Some([u8::try_from(hours).unwrap(); 32]), Some(rng.r#gen())],
    };
    let texts = texts(&shape, &mut rng);
    let (consensus, microdescriptors) = (texts.consensus.as_bytes(), texts.microdescriptors.as_bytes());
    timed("directory read", || Directory::new(consensus, microdescriptors, false).unwrap())
}

fn network(
    directory: &Directory,
    parts: &[(OnionAddress, &[OnionAddress])],
    known: &mut <V3 as OnionVersion>::Known,
) -> NetworkView {
    let mut view = NetworkView {
        period_length: directory.period_length(),
        valid_after: BEGIN,
        services: BTreeMap::new(),
        backends: BTreeMap::new(),
    };
    for (address, backends) in parts {
        let slots = directory.published(known, address, BEGIN).into_iter().collect();
        view.services.insert(ServiceId::of(address), slots);
        for backend in *backends {
            view.backends.insert(BackendId::of(backend), directory.backend(known, backend, BEGIN));
        }
    }
    known.end_look();
    view
}

fn copies(backends: &[Backend]) -> HashMap<BackendId, Copy> {
    let mut rng = StdRng::seed_from_u64(1);
    let period = TimePeriod::at(BEGIN, PeriodLength::DAY, 720);
    let copy = |backend: &Backend| {
        let published = backend.publish(period, BEGIN, POINTS, &mut rng);
        let claims = Arc::new(BackendClaims {
            address: published.address,
            period,
            signing_cert: published.descriptor.signing_cert,
            flow_control: None,
            single_onion: false,
        });
        let points = published.descriptor.inner.points.into_iter();
        let point = |point| BackendPoint {
            point: Arc::new(CertifiedPoint::from(point)),
            backend: Arc::clone(&claims),
        };
        let points = points.map(point).collect();
        let copy = Copy { revision: 1, published: BEGIN, period: period.number, points };
        (BackendId::of(&published.address), copy)
    };
    backends.iter().map(copy).collect()
}

/// The newest descriptors of all backends, which outlive the process in the state file.
fn memory(addresses: &[OnionAddress]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let memory = Memory::read(path.clone());
    let ids: Vec<_> = addresses.iter().map(BackendId::of).collect();
    timed("state: all noted", || {
        for id in &ids {
            memory.note(id, Newest { period: 1, revision: 1 << 40, published: BEGIN, seen: BEGIN });
        }
    });
    timed("loop: state copied", || memory.recall());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    timed("state written", || runtime.block_on(memory.end(BEGIN)));
    println!("{:44} {:>10}", "state file", format!("{} kB", fs::metadata(&path).unwrap().len() / 1000));
    timed("state read", || Memory::read(path));
}

/// Hours of the engine's life, by the longest turn for each kind of event.
fn engine(
    parts: &[(OnionAddress, &[OnionAddress])],
    copies: &HashMap<BackendId, Copy>,
    first: NetworkView,
    next: NetworkView,
) {
    let spec = |(address, backends): &(OnionAddress, &[OnionAddress])| ServiceSpec {
        id: ServiceId::of(address),
        backends: backends.iter().map(BackendId::of).collect(),
        weights: Weights::default(),
        checks: BTreeMap::new(),
        drains: Drains::default(),
        max_points: 20,
        distinct: true,
        proof: V3::PROOF,
    };
    let specs: Vec<_> = parts.iter().map(spec).collect();
    let mut life = Life { copies, turns: BTreeMap::new(), now: Duration::ZERO };
    let newest = copies
        .keys()
        .map(|id| (id.clone(), Newest { period: 1, revision: 1, published: BEGIN, seen: BEGIN }));
    let newest: BTreeMap<_, _> = newest.collect();
    let configuration = |services: &[ServiceSpec]| EngineConfiguration {
        services: services.to_vec(),
        settings: Settings::default(),
        newest: newest.clone(),
    };
    let reload = |services: &[ServiceSpec]| Event::Configuration(Box::new(configuration(services)));
    let first_configuration = configuration(&specs);
    let mut engine =
        timed("loop: engine made", || Engine::new(first_configuration, StdRng::seed_from_u64(2)));
    life.turn(&mut engine, "network, the first", Event::Network(first.clone()));
    life.turn(&mut engine, "tor ready", Event::TorReady);
    life.run(&mut engine, SIMULATED);
    life.turn(&mut engine, "network, the same", Event::Network(first));
    life.turn(&mut engine, "network, other rings", Event::Network(next));
    life.run(&mut engine, MINUTE);
    timed("loop: status", || engine.status(life.clock()));
    let mut fewer = specs.clone();
    fewer[0].backends.pop();
    life.turn(&mut engine, "configuration, one backend less", reload(&fewer));
    life.run(&mut engine, MINUTE);
    life.turn(&mut engine, "tor lost", Event::TorLost);
    life.turn(&mut engine, "configuration, nothing", reload(&[]));
    life.turn(&mut engine, "configuration, everything", reload(&specs));
    for (what, longest) in &life.turns {
        show(&format!("loop: {what}"), *longest);
    }
}

/// A network that answers every request at once with success.
struct Life<'a> {
    copies: &'a HashMap<BackendId, Copy>,
    turns: BTreeMap<&'static str, Duration>,
    now: Duration,
}

impl Life<'_> {
    fn clock(&self) -> Now {
        Now { elapsed: self.now, wall: BEGIN.plus(self.now.as_secs()) }
    }

    fn run(&mut self, engine: &mut Engine<BackendPoint, StdRng>, time: Duration) {
        let end = self.now + time;
        while let Some(at) = engine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn(engine, "tick", Event::Tick);
        }
    }

    /// Hands the engine an event, and carries its actions out until no further event results.
    fn turn(
        &mut self,
        engine: &mut Engine<BackendPoint, StdRng>,
        what: &'static str,
        event: Event<BackendPoint>,
    ) {
        let mut events = vec![(what, event)];
        while let Some((what, event)) = events.pop() {
            let begun = processor_time();
            let actions = engine.handle(self.clock(), event);
            let longest = self.turns.entry(what).or_default();
            *longest = processor_time().saturating_sub(begun).max(*longest);
            for action in actions {
                self.carry_out(action, &mut events);
            }
        }
    }

    fn carry_out(&self, action: Action<BackendPoint>, events: &mut Vec<(&'static str, Event<BackendPoint>)>) {
        match action {
            Action::Fetch { backend, from } => {
                for source in from {
                    let copy = Copy { published: self.clock().wall, ..self.copies[&backend].clone() };
                    let outcome = FetchOutcome::Copy(copy);
                    events.push(("fetched", Event::Fetched { backend: backend.clone(), source, outcome }));
                }
            }
            Action::Publish { id, posts, .. } => {
                for hsdir in posts.into_iter().flat_map(|post| post.to) {
                    let outcome = UploadOutcome::Stored;
                    events.push(("uploaded", Event::Uploaded { id, hsdir, outcome }));
                }
                events.push(("posted", Event::Posted { id, revision: self.clock().wall.0 }));
            }
            Action::ReadBack { .. } | Action::Probe { .. } | Action::Notice(_) => {}
        }
    }
}
