//! Properties of the engine that hold for any input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;

const SERVICES: [&str; 3] = ["r", "s", "t"];
const BACKENDS: [&str; 4] = ["a", "b", "c", "d"];
const MAX_POINTS: usize = 3;
const FETCHES: usize = 20;
const POSTS: usize = 6;
const READ_BACKS: usize = 10;
const PROBES: usize = 12;

/// An event of the test; its numbers pick the object.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    WallClock(i64),
    Network { period: u64, shift: u8, backend_shift: u8 },
    Configuration(u8),
    Drains { which: usize, drained: u8, seconds: u64 },
    TorLost,
    TorReady,
    Fetched { which: usize, outcome: u8, revision: u64, points: Vec<u32>, age: u64, lead: u64 },
    Posted { which: u64, revision: u64 },
    NotPosted { which: u64 },
    NotKept { which: u64 },
    Uploaded { which: u64, hsdir: u8, outcome: u8 },
    ReadBack { which: usize, found: u8, revision: u64 },
    Probed { which: u64, outcome: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let fetched = (any::<usize>(), 0..6u8, 0..30u64, vec(0..12u32, 0..5), 0..20_000u64, 0..3u64).prop_map(
        |(which, outcome, revision, points, age, lead)| Step::Fetched {
            which,
            outcome,
            revision,
            points,
            age,
            lead,
        },
    );
    prop_oneof![
        4 => (0..100u64).prop_map(Step::Pass),
        2 => (0..20_000u64).prop_map(Step::Pass),
        1 => (-90_000..90_000i64).prop_map(Step::WallClock),
        2 => (0..4u64, 0..4u8, 0..3u8)
            .prop_map(|(period, shift, backend_shift)| Step::Network { period, shift, backend_shift }),
        1 => any::<u8>().prop_map(Step::Configuration),
        2 => (any::<usize>(), any::<u8>(), 0..20_000u64)
            .prop_map(|(which, drained, seconds)| Step::Drains { which, drained, seconds }),
        1 => Just(Step::TorLost),
        3 => Just(Step::TorReady),
        12 => fetched,
        3 => (0..3u64, 0..100u64).prop_map(|(which, revision)| Step::Posted { which, revision }),
        2 => (0..3u64).prop_map(|which| Step::NotPosted { which }),
        1 => (0..3u64).prop_map(|which| Step::NotKept { which }),
        8 => (0..3u64, 0..14u8, 0..5u8)
            .prop_map(|(which, hsdir, outcome)| Step::Uploaded { which, hsdir, outcome }),
        4 => (any::<usize>(), 0..5u8, 0..100u64)
            .prop_map(|(which, found, revision)| Step::ReadBack { which, found, revision }),
        6 => (0..4u64, 0..4u8).prop_map(|(which, outcome)| Step::Probed { which, outcome }),
    ]
}

/// A script, and the state of the world outside.
struct World {
    script: Script,
    tor_ready: bool,
    services: BTreeMap<ServiceId, BTreeSet<BackendId>>,
    /// The drains by command of each service.
    drains: BTreeMap<ServiceId, Drains>,
    network: Option<NetworkView>,
    asked: Vec<(BackendId, Source)>,
    /// The backends that were asked for since they were configured.
    known: BTreeSet<BackendId>,
    /// The slots that each service began with and that were not published yet; of those that were published
    /// since they were configured.
    unpublished: BTreeMap<ServiceId, BTreeSet<DescriptorSlot>>,
    read_back: Vec<(ServiceId, DescriptorSlot, Fingerprint)>,
    last_id: Option<PublicationId>,
    fetches: VecDeque<Duration>,
    posts: VecDeque<Duration>,
    proofs: VecDeque<Duration>,
    probes: VecDeque<Duration>,
    /// The last probes.
    probed: BTreeMap<ProbeId, BackendId>,
    /// The last time at which each backend's newest descriptor was seen on an HSDir, without a step of the
    /// clock since.
    seen: BTreeMap<BackendId, Duration>,
}

impl World {
    fn new() -> Self {
        let services = services(0b1101_0111);
        let settings = Settings {
            fetches_per_minute: FETCHES,
            posts_per_minute: POSTS,
            read_backs_per_minute: READ_BACKS,
            probes_per_minute: PROBES,
            ..Settings::default()
        };
        let now = Now { elapsed: Duration::ZERO, wall: UnixTime(START) };
        let engine = Engine::new(configuration(services.clone(), settings), Dice(7));
        Self {
            script: Script { engine, now, said: Vec::new() },
            tor_ready: false,
            services: by_name(&services),
            drains: BTreeMap::new(),
            network: None,
            asked: Vec::new(),
            known: BTreeSet::new(),
            unpublished: BTreeMap::new(),
            read_back: Vec::new(),
            last_id: None,
            fetches: VecDeque::new(),
            posts: VecDeque::new(),
            proofs: VecDeque::new(),
            probes: VecDeque::new(),
            probed: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let before = self.held();
        let mut given = None;
        let publication = |which: u64| PublicationId(self.last_id.map_or(0, |id| id.0).saturating_sub(which));
        let event = match step {
            Step::Pass(seconds) => {
                self.script.pass(Duration::from_secs(seconds));
                Event::Tick
            }
            Step::WallClock(by) => {
                self.seen.clear();
                self.script.now.wall =
                    UnixTime(self.script.now.wall.0.checked_add_signed(by).unwrap_or_default());
                Event::Tick
            }
            Step::Network { period, shift, backend_shift } => {
                self.set_network(period, shift, backend_shift);
                Event::Network(self.network.clone().expect("set just now"))
            }
            Step::Configuration(bits) => {
                let mut services = services(bits);
                for service in &mut services {
                    service.drains = self.drains.get(&service.id).cloned().unwrap_or_default();
                }
                self.services = by_name(&services);
                let backends: BTreeSet<_> = self.services.values().flatten().collect();
                self.known.retain(|backend| backends.contains(backend));
                self.unpublished.retain(|service, _| self.services.contains_key(service));
                let configuration = configuration(services, self.script.engine.settings.clone());
                Event::Configuration(Box::new(configuration))
            }
            Step::Drains { which, drained, seconds } => {
                let service: ServiceId = SERVICES[which % SERVICES.len()].into();
                let drains = drains(drained, self.script.now.wall.plus(seconds));
                self.drains.insert(service.clone(), drains.clone());
                Event::Drains { service, drains }
            }
            Step::TorLost => {
                self.tor_ready = false;
                Event::TorLost
            }
            Step::TorReady => {
                self.tor_ready = true;
                Event::TorReady
            }
            Step::Fetched { which, outcome, revision, points, age, lead } => {
                let asked = self.asked.get(which % self.asked.len().max(1)).cloned();
                let (backend, source) = asked.unwrap_or((BACKENDS[which % 4].into(), source(relay(100))));
                let copy = DescriptorCopy {
                    revision,
                    published: self.script.now.wall.minus(age),
                    period: self.network.as_ref().map_or(0, |view| view.backends[&backend].period) + lead / 2,
                    points: points.into_iter().map(Key::new).collect(),
                };
                given = (outcome > 2 && age < 10_000).then_some((backend.clone(), copy.period, revision));
                let outcome = match outcome {
                    0 => FetchOutcome::NotFound,
                    1 => FetchOutcome::Failed,
                    2 => FetchOutcome::Invalid("not signed".into()),
                    _ => FetchOutcome::Copy(copy),
                };
                Event::Fetched { backend, source, outcome }
            }
            Step::Posted { which, revision } => Event::Posted { id: publication(which), revision },
            Step::NotPosted { which } => Event::NotPosted { id: publication(which), problem: "away".into() },
            Step::NotKept { which } => Event::NotKept { id: publication(which) },
            Step::Uploaded { which, hsdir, outcome } => {
                let outcome = match outcome {
                    0 => UploadOutcome::Failed,
                    1 => UploadOutcome::Unknown,
                    2 => UploadOutcome::Refused("HTTP 400".into()),
                    _ => UploadOutcome::Stored,
                };
                Event::Uploaded { id: publication(which), hsdir: relay(hsdir), outcome }
            }
            Step::ReadBack { which, found, revision } => {
                let asked = self.read_back.get(which % self.read_back.len().max(1)).cloned();
                let (service, slot, hsdir) =
                    asked.unwrap_or((SERVICES[which % 3].into(), slot(which as u64 % 5), relay(1)));
                let found = match found {
                    0 => Found::Nothing,
                    1 => Found::Failed,
                    2 => Found::Sealed,
                    _ => Found::Copy { revision, points: vec![100] },
                };
                Event::ReadBack { service, slot, hsdir, found }
            }
            Step::Probed { which, outcome } => {
                let last = self.probed.keys().next_back().map_or(0, |id| id.0);
                let id = ProbeId(last.saturating_sub(which));
                let backend = self.probed.get(&id).cloned().unwrap_or(BACKENDS[0].into());
                Event::Probed { id, backend, outcome: probe_outcome(outcome) }
            }
        };
        self.script.send(event);
        self.check();
        self.check_held(&before, given.as_ref());
    }

    /// Checks that no older copy has replaced a newer one. `given` is the copy that was good and given just
    /// now.
    fn check_held(
        &mut self,
        before: &BTreeMap<BackendId, (u64, u64)>,
        given: Option<&(BackendId, u64, u64)>,
    ) {
        let elapsed = self.script.now.elapsed;
        for (backend, (period, revision)) in self.held() {
            let seen = self.seen.get(&backend).is_some_and(|seen| elapsed < *seen + Duration::from_hours(3));
            if let Some((_, before)) = before.get(&backend).filter(|before| before.0 == period && seen) {
                assert!(*before <= revision, "an older copy replaced a newer one");
            }
            if given == Some(&(backend.clone(), period, revision)) {
                self.seen.insert(backend, elapsed);
            }
        }
    }

    /// Two slots from `period` on for each service, and `period` for each backend.
    fn set_network(&mut self, period: u64, shift: u8, backend_shift: u8) {
        let backend = BackendView { period, sources: sources(100 + backend_shift..105 + backend_shift) };
        let slots: BTreeMap<_, _> = [(period, 0), (period + 1, 4)]
            .map(|(period, first)| (slot(period), relays(first + shift..first + shift + 6)))
            .into();
        self.network = Some(NetworkView {
            period_length: Duration::from_hours(24),
            valid_after: self.script.now.wall,
            services: SERVICES.iter().map(|id| ((*id).into(), slots.clone())).collect(),
            backends: BACKENDS.iter().map(|id| ((*id).into(), backend.clone())).collect(),
        });
    }

    /// The period and revision of the newest descriptor of each backend.
    fn held(&self) -> BTreeMap<BackendId, (u64, u64)> {
        let status = self.script.engine.status(self.script.now);
        let backends = status.into_iter().flat_map(|service| service.backends);
        backends.filter_map(|status| Some((status.backend, (status.period?, status.revision?)))).collect()
    }

    fn check(&mut self) {
        self.check_drains();
        let said = std::mem::take(&mut self.script.said);
        assert!(said.len() < 5000, "a storm");
        let load = self.script.engine.load(self.script.now);
        assert!(load.in_flight <= load.most_in_flight, "{load:?}");
        for (at, action) in said {
            match action {
                Action::Fetch { backend, from } => {
                    assert!(self.tor_ready);
                    assert!(!from.is_empty());
                    let mut is_first = self.known.insert(backend.clone());
                    for source in from {
                        self.asked.push((backend.clone(), source));
                        if !std::mem::take(&mut is_first) {
                            spend(&mut self.fetches, at, FETCHES);
                        }
                    }
                    let surplus = self.asked.len().saturating_sub(10);
                    self.asked.drain(..surplus);
                }
                Action::ReadBack { service, slot, hsdir } => {
                    assert!(self.tor_ready);
                    spend(&mut self.proofs, at, READ_BACKS);
                    self.read_back.push((service, slot, hsdir));
                    let surplus = self.read_back.len().saturating_sub(10);
                    self.read_back.drain(..surplus);
                }
                Action::Publish { id, service, slot, posts, .. } => {
                    assert!(self.tor_ready);
                    assert!(self.last_id < Some(id), "names are unique and grow");
                    self.last_id = Some(id);
                    assert!(!posts.is_empty());
                    let is_of_start = self.publishes_first(&service, slot);
                    for post in posts {
                        if !is_of_start {
                            spend(&mut self.posts, at, POSTS);
                        }
                        self.check_post(&service, slot, &post);
                    }
                }
                Action::Probe { id, backend, check } => {
                    assert!(self.tor_ready);
                    assert!(self.probed.keys().next_back() < Some(&id), "names are unique and grow");
                    spend(&mut self.probes, at, PROBES);
                    assert!(self.services.values().flatten().any(|name| *name == backend));
                    assert_eq!(Some(&check), checks().get(&backend));
                    self.probed.insert(id, backend);
                    while self.probed.len() > 10 {
                        self.probed.pop_first();
                    }
                }
                Action::Notice(_) => {}
            }
        }
    }

    /// A drain without an end is in force until the operator ends it, and none is made up.
    fn check_drains(&self) {
        for service in self.script.engine.status(self.script.now) {
            let ordered = self.drains.get(&service.service).cloned().unwrap_or_default();
            for backend in &service.backends {
                let ordered = ordered.of(&backend.backend);
                // A drain that the engine has ended does not begin again when the clock is set back.
                let is_known = ordered == backend.drain;
                let may_have_ended =
                    backend.drain.is_none() && ordered.is_some_and(|drain| drain.until.is_some());
                assert!(is_known || may_have_ended, "{ordered:?} {backend:?}");
            }
        }
    }

    /// Whether this is the first publication of a slot that the service began with.
    fn publishes_first(&mut self, service: &ServiceId, slot: DescriptorSlot) -> bool {
        let network = self.network.as_ref().expect("no network");
        let all = || network.services[service].keys().copied().collect();
        self.unpublished.entry(service.clone()).or_insert_with(all).remove(&slot)
    }

    fn check_post(&self, service: &ServiceId, slot: DescriptorSlot, Post { points, to, .. }: &Post<Key>) {
        let hsdirs = &self.network.as_ref().expect("no network").services[service][&slot];
        assert!(!to.is_empty());
        assert!(to.iter().all(|hsdir| hsdirs.contains(hsdir)));
        assert!(!points.is_empty());
        assert!(points.len() <= MAX_POINTS);
        assert!(points.windows(2).all(|pair| pair[0].point.id() < pair[1].point.id()));
        let backends = &self.services[service];
        assert!(points.iter().all(|chosen| backends.contains(&chosen.backend)));
    }
}

fn probe_outcome(number: u8) -> ProbeOutcome {
    match number {
        0 => ProbeOutcome::Unmade("no SOCKS port".into()),
        1 => ProbeOutcome::Succeeded(Duration::from_secs(1)),
        _ => ProbeOutcome::Failed("no answer in time".into()),
    }
}

/// The services and backends whose bits are set; the last bits rotate the assignment of backends to services.
fn services(bits: u8) -> Vec<ServiceSpec> {
    let backends = |first: usize| {
        (0..4)
            .filter(|index| bits >> 4 & 1 << index != 0)
            .map(|index| BACKENDS[(first + index) % 4].into())
            .collect()
    };
    let service = |index: usize| ServiceSpec {
        id: SERVICES[index].into(),
        backends: backends(index),
        weights: weights(index),
        checks: checks(),
        drains: Drains::default(),
        max_points: MAX_POINTS,
        // Both kinds of service occur.
        distinct: index > 0,
        proof: if index > 1 { Proof::ReadBack } else { Proof::Word },
    };
    (0..3).filter(|index| bits & 1 << index != 0).map(service).collect()
}

/// The backends whose bits are set; every second one until this time, the others without an end.
fn drains(bits: u8, until: UnixTime) -> Drains {
    let drained = BACKENDS.iter().enumerate().filter(|(index, _)| bits & 1 << index != 0);
    let drain = |index: usize| Drain { until: (index % 2 == 0).then_some(until) };
    drained.map(|(index, backend)| ((*backend).into(), drain(index))).collect()
}

/// Equal weights, others, and some with a drained backend.
fn weights(service: usize) -> Weights {
    let weights = [BTreeMap::new(), BTreeMap::from([("a", 2)]), BTreeMap::from([("b", 0), ("c", 3)])];
    weights[service].iter().map(|(backend, weight)| ((*backend).into(), *weight)).collect()
}

/// The health checks of two backends.
fn checks() -> BTreeMap<BackendId, Arc<HealthCheck>> {
    [("b", 80), ("c", 81)].into_iter().map(|(backend, port)| (backend.into(), check(port))).collect()
}

fn by_name(configuration: &[ServiceSpec]) -> BTreeMap<ServiceId, BTreeSet<BackendId>> {
    configuration.iter().map(|spec| (spec.id.clone(), spec.backends.iter().cloned().collect())).collect()
}

/// Counts requests: `per_minute` in a minute, as many more after a rest, and all six sets of a descriptor
/// together.
fn spend(spent: &mut VecDeque<Duration>, at: Duration, per_minute: usize) {
    spent.push_back(at);
    while spent.front().is_some_and(|first| *first + Duration::from_mins(1) <= at) {
        spent.pop_front();
    }
    assert!(spent.len() <= per_minute * 2 + 6, "over the budget");
}

/// The introduction points of a backend at the end.
fn final_points(backend: &BackendId) -> Vec<u32> {
    let index =
        u32::try_from(BACKENDS.iter().position(|name| *backend == (*name).into()).expect("unknown")).unwrap();
    vec![100 + index, 200 + index]
}

/// Ends all faults, and checks that within half an hour every HSDir of every descriptor has the right one.
fn converge(mut world: World) {
    world.drains.clear();
    world.take(Step::Configuration(0b1111_0111));
    world.take(Step::Network { period: 9, shift: 1, backend_shift: 1 });
    world.take(Step::TorReady);
    let mut script = world.script;
    let mut last = BTreeMap::new();
    let mut revision = 1000;
    script.run(Duration::from_mins(30), |script, action| match action {
        Action::Fetch { backend, from } => {
            let points = final_points(backend).into_iter().map(Key::new).collect();
            let copy = DescriptorCopy { revision: 1000, published: script.now.wall, period: 9, points };
            for hsdir in from {
                script.fetched(&backend.0, hsdir_of(*hsdir), FetchOutcome::Copy(copy.clone()));
            }
        }
        Action::Publish { id, service, slot, posts, .. } => {
            revision += 1;
            script.send(Event::Posted { id: *id, revision });
            for Post { points, to, .. } in posts {
                let points: Vec<u32> = points.iter().map(|chosen| chosen.point.id()).collect();
                last.extend(to.iter().map(|hsdir| ((service.clone(), *slot, *hsdir), points.clone())));
                script.uploaded(*id, to, &UploadOutcome::Stored);
            }
        }
        Action::ReadBack { service, slot, hsdir } => {
            let points = last[&(service.clone(), *slot, *hsdir)].clone();
            let (service, slot, hsdir) = (service.clone(), *slot, *hsdir);
            let found = Found::Copy { revision: u64::MAX, points };
            script.send(Event::ReadBack { service, slot, hsdir, found });
        }
        Action::Probe { id, backend, .. } => {
            let outcome = ProbeOutcome::Succeeded(Duration::from_secs(1));
            script.send(Event::Probed { id: *id, backend: backend.clone(), outcome });
        }
        Action::Notice(_) => {}
    });
    let services = script.engine.status(script.now);
    assert_eq!(services.len(), 3);
    for status in services {
        assert!(status.backends.iter().all(|backend| backend.state == BackendState::Live));
        let distinct = status.service != SERVICES[0].into();
        match weights(SERVICES.iter().position(|service| status.service == (*service).into()).unwrap()) {
            even if even == Weights::default() => assert_eq!(status.points, MAX_POINTS),
            _ => assert!((MAX_POINTS..=8).contains(&status.points)),
        }
        assert_eq!(status.descriptors.len(), 2);
        for descriptor in status.descriptors {
            assert!(descriptor.hsdirs.iter().all(|hsdir| hsdir.state == UploadState::Stored));
            for hsdir in descriptor.hsdirs {
                let points = &last[&(status.service.clone(), descriptor.slot, hsdir.hsdir)];
                assert_eq!(points.len(), MAX_POINTS);
                assert!(distinct || *points == [100, 101, 102]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn promises_hold_and_faults_heal(steps in vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        converge(world);
    }
}
