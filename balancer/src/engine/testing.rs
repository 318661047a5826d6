//! Common parts of the engine's tests: a point, dice, and a script that drives an engine from deadline to
//! deadline.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::{HealthCheck, ProbeKind};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use rand_core::{Error, RngCore};

use super::*;

/// An introduction point that consists of an identity and of something that does not count (a relay's onion
/// key).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    id: u32,
    relay: u32,
    pub(super) onion: u32,
}

impl Key {
    pub(super) fn new(id: u32) -> Self {
        Self::at(id, id)
    }

    /// A point at the relay of this number.
    pub(super) fn at(id: u32, relay: u32) -> Self {
        Self { id, relay, onion: 0 }
    }
}

impl Point for Key {
    type Id = u32;

    const FAILED_IS_STRUCK_OFF: bool = true;

    fn id(&self) -> u32 {
        self.id
    }

    fn relay(&self) -> Fingerprint {
        let mut identity = [0; 20];
        identity[..4].copy_from_slice(&self.relay.to_be_bytes());
        Fingerprint(identity)
    }
}

/// Random numbers from a seed (`SplitMix64`).
pub(super) struct Dice(pub(super) u64);

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// An engine, the time, and its actions so far.
pub(super) struct Script {
    pub(super) engine: Engine<Key, Dice>,
    pub(super) now: Now,
    /// All actions of the engine, with their times.
    pub(super) said: Vec<(Duration, Action<Key>)>,
}

/// The parts of a [`Post`] of an [`Action::Publish`] that the tests look at.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) at: Duration,
    pub(super) id: PublicationId,
    pub(super) slot: DescriptorSlot,
    pub(super) points: Vec<u32>,
    pub(super) onions: Vec<u32>,
    pub(super) to: Vec<Fingerprint>,
    pub(super) floor: Option<u64>,
    /// The revision that it keeps; `None` if it gets a new one.
    pub(super) kept: Option<u64>,
}

impl Script {
    /// An engine for these services, each named by a letter, with the given backends and room for 20 points.
    pub(super) fn new(services: &[(&str, &[&str])]) -> Self {
        Self::with(services, Settings::default())
    }

    pub(super) fn with(services: &[(&str, &[&str])], settings: Settings) -> Self {
        let now = Now { elapsed: Duration::ZERO, wall: UnixTime(START) };
        Self { engine: Engine::new(configuration(specs(services), settings), Dice(1)), now, said: Vec::new() }
    }

    /// The configuration changes to these services. The pace stays.
    pub(super) fn configure(&mut self, services: Vec<ServiceSpec>) -> Vec<Action<Key>> {
        let configuration = configuration(services, self.engine.settings.clone());
        self.send(Event::Configuration(Box::new(configuration)))
    }

    /// An engine that knows its HSDirs (from a hundred on for each backend, 1 to 8 for each of one slot), and
    /// tor.
    pub(super) fn started(services: &[(&str, &[&str])]) -> Self {
        let mut script = Self::new(services);
        script.send(Event::Network(view(services, &[(1, 1..9)])));
        script.send(Event::TorReady);
        script
    }

    /// An engine as for version 2: ten points in a descriptor, and two replicas with three HSDirs each (1 to
    /// 3, 4 to 6), whose acknowledgements have to be proven.
    pub(super) fn of_v2(services: &[(&str, &[&str])]) -> Self {
        Self::of_v2_with(services, Settings { timing: Timing::v2(), ..Settings::default() })
    }

    pub(super) fn of_v2_with(services: &[(&str, &[&str])], settings: Settings) -> Self {
        let spec = |spec| ServiceSpec { max_points: 10, distinct: true, proof: Proof::ReadBack, ..spec };
        let specs: Vec<_> = specs(services).into_iter().map(spec).collect();
        let now = Now { elapsed: Duration::ZERO, wall: UnixTime(START) };
        let engine = Engine::new(configuration(specs, settings), Dice(1));
        let mut script = Self { engine, now, said: Vec::new() };
        script.send(Event::Network(view_v2(services, &[1])));
        script.send(Event::TorReady);
        script
    }

    /// Sends the answer of an HSDir that was read back.
    pub(super) fn read_back(
        &mut self,
        slot: DescriptorSlot,
        hsdir: Fingerprint,
        found: Found<u32>,
    ) -> Vec<Action<Key>> {
        self.send(Event::ReadBack { service: "s".into(), slot, hsdir, found })
    }

    /// Sends an event and returns the engine's actions.
    pub(super) fn send(&mut self, event: Event<Key>) -> Vec<Action<Key>> {
        let said = self.engine.handle(self.now, event);
        self.said.extend(said.iter().cloned().map(|action| (self.now.elapsed, action)));
        if let Some(deadline) = self.engine.next_deadline() {
            assert!(deadline > self.now.elapsed, "a deadline that has passed would make a busy loop");
        }
        said
    }

    /// Lets this much time pass, with a tick at every deadline. Returns the engine's actions.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Action<Key>> {
        let end = self.now.elapsed + time;
        let mut said = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= end) {
            self.advance(deadline);
            said.extend(self.send(Event::Tick));
        }
        self.advance(end);
        said
    }

    /// Lets this much time pass, in which `respond` may react to every action of the engine. Returns all of
    /// them.
    pub(super) fn run(
        &mut self,
        time: Duration,
        mut respond: impl FnMut(&mut Self, &Action<Key>),
    ) -> Vec<Action<Key>> {
        let end = self.now.elapsed + time;
        let begin = self.said.len();
        let mut next = begin;
        loop {
            while next < self.said.len() {
                let action = self.said[next].1.clone();
                next += 1;
                respond(self, &action);
            }
            let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= end) else {
                break;
            };
            self.advance(deadline);
            self.send(Event::Tick);
        }
        self.advance(end);
        self.said[begin..].iter().map(|(_, action)| action.clone()).collect()
    }

    pub(super) fn advance(&mut self, to: Duration) {
        self.now.wall = self.now.wall.plus(to.as_secs() - self.now.elapsed.as_secs());
        self.now.elapsed = to;
    }

    /// Sends an HSDir's answer for a backend.
    pub(super) fn fetched(
        &mut self,
        backend: &str,
        hsdir: Fingerprint,
        outcome: FetchOutcome<Key>,
    ) -> Vec<Action<Key>> {
        self.send(Event::Fetched { backend: backend.into(), source: source(hsdir), outcome })
    }

    /// Sends a fresh copy of a backend's descriptor of period 1 from an HSDir.
    pub(super) fn copy(
        &mut self,
        backend: &str,
        hsdir: Fingerprint,
        revision: u64,
        points: &[u32],
    ) -> Vec<Action<Key>> {
        let outcome = self.fresh(revision, points);
        self.fetched(backend, hsdir, outcome)
    }

    /// A copy of period 1 that was made just now.
    pub(super) fn fresh(&self, revision: u64, points: &[u32]) -> FetchOutcome<Key> {
        let points = points.iter().copied().map(Key::new).collect();
        FetchOutcome::Copy(DescriptorCopy { revision, published: self.now.wall, period: 1, points })
    }

    pub(super) fn uploaded(
        &mut self,
        id: PublicationId,
        to: &[Fingerprint],
        outcome: &UploadOutcome,
    ) -> Vec<Action<Key>> {
        let answers = to
            .iter()
            .flat_map(|hsdir| self.send(Event::Uploaded { id, hsdir: *hsdir, outcome: outcome.clone() }));
        answers.collect()
    }

    /// Has tor take a publication, and all HSDirs store it.
    pub(super) fn stored(&mut self, published: &Published, revision: u64) -> Vec<Action<Key>> {
        let mut said = self.send(Event::Posted { id: published.id, revision });
        said.extend(self.uploaded(published.id, &published.to, &UploadOutcome::Stored));
        said
    }

    /// All publications so far.
    pub(super) fn published(&self) -> Vec<Published> {
        self.said.iter().flat_map(|(at, action)| publish(*at, action)).collect()
    }

    /// The last publication.
    pub(super) fn last(&self) -> Published {
        self.published().pop().expect("nothing was published")
    }

    pub(super) fn status(&self, service: &str) -> ServiceStatus {
        let mut all = self.engine.status(self.now).into_iter();
        all.find(|status| status.service == service.into()).expect("no such service")
    }
}

/// The wall clock at the beginning.
pub(super) const START: u64 = 1_700_000_000;

/// The slot of this period.
pub(super) fn slot(period: u64) -> DescriptorSlot {
    DescriptorSlot { period, replica: 0 }
}

/// A relay with this number.
pub(super) fn relay(number: u8) -> Fingerprint {
    Fingerprint([number; 20])
}

/// Relays with these numbers.
pub(super) fn relays(numbers: Range<u8>) -> Vec<Fingerprint> {
    numbers.map(relay).collect()
}

/// An HSDir as a source of a backend's descriptor.
pub(super) fn source(hsdir: Fingerprint) -> Source {
    Source::Hsdir { hsdir, replica: 0 }
}

/// Relays with these numbers as sources of a backend's descriptor.
pub(super) fn sources(numbers: Range<u8>) -> Vec<Source> {
    numbers.map(relay).map(source).collect()
}

pub(super) fn specs(services: &[(&str, &[&str])]) -> Vec<ServiceSpec> {
    let spec = |(id, backends): &(&str, &[&str])| ServiceSpec {
        id: (*id).into(),
        backends: backends.iter().map(|backend| (*backend).into()).collect(),
        weights: Weights::default(),
        checks: BTreeMap::new(),
        drains: Drains::default(),
        max_points: 20,
        distinct: false,
        proof: Proof::Word,
    };
    services.iter().map(spec).collect()
}

/// A health check of this port, every 10 seconds: two failures in a row, two successes.
pub(super) fn check(port: u16) -> Arc<HealthCheck> {
    let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
    Arc::new(HealthCheck { port, kind: ProbeKind::Connect, interval, timeout, fall: 2, rise: 2 })
}

/// A network of day-long periods, by a consensus from [`START`] on: each service has these slots, named by
/// their period. The HSDirs of every backend are the relays 100 to 105, in period 1.
pub(super) fn view(services: &[(&str, &[&str])], slots: &[(u64, Range<u8>)]) -> NetworkView {
    let slots: BTreeMap<_, _> =
        slots.iter().map(|(period, hsdirs)| (slot(*period), relays(hsdirs.clone()))).collect();
    let backends = services.iter().flat_map(|(_, backends)| backends.iter());
    NetworkView {
        period_length: Duration::from_hours(24),
        valid_after: UnixTime(START),
        services: services.iter().map(|(id, _)| ((*id).into(), slots.clone())).collect(),
        backends: backends
            .map(|id| ((*id).into(), BackendView { period: 1, sources: sources(100..106) }))
            .collect(),
    }
}

/// As [`view`], with both replicas of these periods. Each period has HSDirs of its own: 1 to 6, 11 to 16 and
/// so on.
pub(super) fn view_v2(services: &[(&str, &[&str])], periods: &[u64]) -> NetworkView {
    let mut view = view(services, &[]);
    for slots in view.services.values_mut() {
        for period in periods {
            let first = u8::try_from(*period).unwrap() * 10 - 9;
            slots.insert(replica(*period, 0), relays(first..first + 3));
            slots.insert(replica(*period, 1), relays(first + 3..first + 6));
        }
    }
    view
}

/// The slot of this period and replica.
pub(super) fn replica(period: u64, replica: u8) -> DescriptorSlot {
    DescriptorSlot { period, replica }
}

/// A configuration of an engine that remembers nothing.
pub(super) fn configuration(services: Vec<ServiceSpec>, settings: Settings) -> EngineConfiguration {
    EngineConfiguration { services, settings, newest: BTreeMap::new() }
}

/// The descriptors and HSDirs that these actions read back.
pub(super) fn read_backs(actions: &[Action<Key>]) -> Vec<(DescriptorSlot, Fingerprint)> {
    let hsdir = |action: &Action<Key>| match action {
        Action::ReadBack { slot, hsdir, .. } => Some((*slot, *hsdir)),
        _ => None,
    };
    actions.iter().filter_map(hsdir).collect()
}

/// The HSDirs that these actions ask for a backend's descriptor.
pub(super) fn asked(actions: &[Action<Key>], name: &str) -> Vec<Fingerprint> {
    let name = BackendId::from(name);
    let from = actions.iter().filter_map(|action| match action {
        Action::Fetch { backend, from } if *backend == name => Some(from.clone()),
        _ => None,
    });
    from.flatten().map(hsdir_of).collect()
}

/// The HSDir of a source.
pub(super) fn hsdir_of(source: Source) -> Fingerprint {
    match source {
        Source::Hsdir { hsdir, .. } => hsdir,
        Source::Any => panic!("nobody in particular is asked"),
    }
}

/// The publications in these actions.
pub(super) fn published(actions: &[Action<Key>]) -> Vec<Published> {
    actions.iter().flat_map(|action| publish(Duration::ZERO, action)).collect()
}

/// The notices in these actions.
pub(super) fn notices(actions: &[Action<Key>]) -> Vec<Notice> {
    let notice = |action: &Action<Key>| match action {
        Action::Notice(notice) => Some(notice.clone()),
        _ => None,
    };
    actions.iter().filter_map(notice).collect()
}

fn publish(at: Duration, action: &Action<Key>) -> Vec<Published> {
    let Action::Publish { id, slot, posts, revision, .. } = action else { return Vec::new() };
    let (floor, kept) = match revision {
        Revision::New { floor } => (*floor, None),
        Revision::Kept(revision) => (None, Some(*revision)),
    };
    let published = |post: &Post<Key>| Published {
        at,
        id: *id,
        slot: *slot,
        points: post.points.iter().map(|chosen| chosen.point.id()).collect(),
        onions: post.points.iter().map(|chosen| chosen.point.onion).collect(),
        to: post.to.clone(),
        floor,
        kept,
    };
    posts.iter().map(published).collect()
}
