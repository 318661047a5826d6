//! What the invariants have to remember of what was said and heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{Action, Post};
use rustc_hash::{FxHashMap, FxHasher};

use super::super::generation::{Generation, PointId};
use super::super::network::cache::{Key, Text};
use super::super::network::relay::{RelayId, Said};
use super::super::service::Service;
use super::super::time::Moment;
use super::prompt::Prompt;

/// What was said and heard.
pub struct Watch<G> {
    hasher: FxHasher,
    /// When an HSDir was asked for a backend's descriptor, in the last minute.
    pub fetches: VecDeque<Moment>,
    /// When one was asked for one of the services' own, in the last minute.
    pub read_backs: VecDeque<Moment>,
    /// When a descriptor was posted, in the last minute.
    pub posts: VecDeque<Moment>,
    /// The newest descriptors that were handed to the engine: of each backend, by period.
    newest: Vec<BTreeMap<u64, Newest<G>>>,
    /// What HSDirs are known to have: of each descriptor of a service.
    pub held: FxHashMap<Key, Held<G>>,
    /// When the engine last said of each backend that it was found, had changed or was gone.
    pub changed: Vec<Moment>,
    /// Renewals, in the last minutes.
    pub renewals: VecDeque<Moment>,
    /// The promises that are due within seconds.
    pub prompt: Prompt<G>,
}

/// The newest descriptor of a period, and others of the same revision.
struct Newest<G> {
    revision: u64,
    points: Vec<Rc<[G]>>,
    /// Revisions and points of before an earlier period was looked at again, as long as nothing newer comes.
    before: Vec<(u64, Vec<Rc<[G]>>)>,
}

/// Nothing is known.
impl<G> Default for Newest<G> {
    fn default() -> Self {
        Self { revision: 0, points: Vec::new(), before: Vec::new() }
    }
}

/// What is known of one descriptor of a service.
pub struct Held<G> {
    /// What each HSDir is known to have.
    pub by: FxHashMap<RelayId, Rc<[G]>>,
    /// When each was last sent something.
    pub sent: FxHashMap<RelayId, Moment>,
    /// When each was last asked for what it has.
    pub asked: FxHashMap<RelayId, Moment>,
    /// When it was last published to where it was already.
    pub renewed: Option<Moment>,
    /// When there was last a reason to publish it to all HSDirs with a new revision.
    pub excused: Moment,
    /// How many HSDirs it has.
    hsdirs: usize,
    /// Whether tor did not know one of them. What that was to get was not signed.
    pub unknown: bool,
    /// The highest revision that was read back.
    pub seen: u64,
    /// The highest revision that it was posted with.
    pub highest: u64,
    /// The points of all sets that it was last signed with.
    pub listed: BTreeSet<PointId>,
    /// The number of the set that each HSDir was sent since then.
    pub sets: FxHashMap<RelayId, usize>,
    /// The HSDirs that have refused it since all of them had it.
    refusing: BTreeSet<RelayId>,
    /// Whether these were most of them at some time.
    pub may_guess: bool,
    /// When it was posted in the last hour.
    pub posts: VecDeque<Moment>,
}

/// Nothing is known.
impl<G> Default for Held<G> {
    fn default() -> Self {
        let (by, sent, asked, sets) = Default::default();
        let (listed, refusing) = Default::default();
        Self {
            by,
            sent,
            asked,
            renewed: None,
            excused: Moment::ZERO,
            hsdirs: 0,
            unknown: false,
            seen: 0,
            highest: 0,
            listed,
            sets,
            refusing,
            may_guess: false,
            posts: VecDeque::new(),
        }
    }
}

impl<G> Held<G> {
    /// Whether an HSDir was asked for what it has after it was last sent something, and the engine may still wait for the answer.
    fn is_awaited(&self, relay: RelayId, now: Moment, patience: Duration) -> bool {
        let asked = self.asked.get(&relay).filter(|asked| now.since(**asked) < patience);
        asked.is_some() && asked > self.sent.get(&relay)
    }
}

impl<G: Generation> Watch<G> {
    /// Nothing was said yet.
    pub fn new(backends: usize) -> Self {
        Self {
            hasher: FxHasher::default(),
            fetches: VecDeque::new(),
            read_backs: VecDeque::new(),
            posts: VecDeque::new(),
            newest: (0..backends).map(|_| BTreeMap::new()).collect(),
            held: FxHashMap::default(),
            changed: vec![Moment::ZERO; backends],
            renewals: VecDeque::new(),
            prompt: Prompt::new(backends),
        }
    }

    /// Stands for everything that was said.
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// A new life of the balancer knows nothing of what HSDirs have.
    pub fn balancer_started(&mut self) {
        self.held.clear();
        self.fetches.clear();
        self.read_backs.clear();
        self.posts.clear();
        self.prompt = Prompt::new(self.changed.len());
    }

    /// Other HSDirs are responsible: what the others have is of no interest, and will have to be sent again if they become
    /// responsible again.
    pub fn network_shown(&mut self, now: Moment, services: &[Service]) {
        let mut changed = BTreeSet::new();
        self.held.retain(|key, held| {
            let mut spots = services[key.owner].spots.iter();
            let spot = spots.find(|spot| spot.slot == key.slot);
            let stays =
                |id: &RelayId| spot.is_some_and(|spot| spot.hsdirs.iter().any(|(hsdir, _)| hsdir == id));
            held.by.retain(|id, _| stays(id));
            held.sent.retain(|id, _| stays(id));
            held.sets.retain(|id, _| stays(id));
            let hsdirs = spot.map_or(0, |spot| spot.hsdirs.len());
            if std::mem::take(&mut held.unknown) {
                held.excused = now;
            }
            if std::mem::replace(&mut held.hsdirs, hsdirs) != hsdirs {
                changed.insert(key.owner);
            }
            spot.is_some()
        });
        for service in changed {
            self.excuse_all(service, now);
        }
        let slots = |service: &Service| service.spots.iter().map(|spot| spot.slot).collect::<Vec<_>>();
        let keys = services
            .iter()
            .map(slots)
            .enumerate()
            .flat_map(|(owner, slots)| slots.into_iter().map(move |slot| Key { owner, slot }));
        self.prompt.shown_descriptors(keys.filter(|key| !self.held.contains_key(key)), now);
    }

    /// There is a reason to publish a descriptor to all HSDirs with a new revision.
    pub fn excuse(&mut self, key: Key, now: Moment) {
        if let Some(held) = self.held.get_mut(&key) {
            held.excused = now;
        }
    }

    /// All descriptors may have to be renewed: time has passed, or seems to have.
    pub fn excuse_everything(&mut self, now: Moment) {
        for held in self.held.values_mut() {
            held.excused = now;
        }
    }

    /// Other sets may be chosen for a service.
    fn excuse_all(&mut self, service: usize, now: Moment) {
        for (_, held) in self.held.iter_mut().filter(|(key, _)| key.owner == service) {
            held.excused = now;
        }
    }

    /// A service was changed, or removed; of backends that serve nobody any more nothing has to be remembered.
    pub fn reconfigured(&mut self, now: Moment, service: usize, configured: bool, users: &[BTreeSet<usize>]) {
        self.excuse_all(service, now);
        if !configured {
            self.held.retain(|key, _| key.owner != service);
            self.prompt.forget_service(service);
        }
        for (number, (newest, users)) in self.newest.iter_mut().zip(users).enumerate() {
            if users.is_empty() {
                newest.clear();
                self.prompt.forget_backend(number);
            }
        }
    }

    /// The engine has said something.
    pub fn heard(&mut self, now: Moment, actions: &[Action<G>]) {
        for action in actions {
            now.0.hash(&mut self.hasher);
            match action {
                Action::Fetch { backend, from } => (&backend.0, from).hash(&mut self.hasher),
                Action::Publish { id, service, slot, posts, revision } => {
                    (id, &service.0, slot, revision).hash(&mut self.hasher);
                    for Post { set, points, to } in posts {
                        (set, to).hash(&mut self.hasher);
                        for chosen in points {
                            chosen.point.id().hash(&mut self.hasher);
                        }
                    }
                }
                Action::ReadBack { service, slot, hsdir } => (&service.0, slot, hsdir).hash(&mut self.hasher),
                Action::Notice(notice) => std::mem::discriminant(notice).hash(&mut self.hasher),
            }
        }
    }

    /// A backend's descriptor is handed to the engine.
    pub fn delivered(&mut self, backend: usize, period: u64, text: &Text<G>) {
        let newest = &mut self.newest[backend];
        let known = newest.entry(period).or_default();
        // A twin of one of these comes before or after it.
        known.before.retain(|(revision, _)| *revision >= text.revision);
        if text.revision > known.revision {
            known.revision = text.revision;
            known.points.clear();
        }
        if text.revision == known.revision
            && !known.points.iter().any(|points| Rc::ptr_eq(points, &text.points))
        {
            known.points.push(text.points.clone());
        }
        while newest.len() > 3 {
            newest.pop_first();
        }
    }

    /// An earlier period may be looked at again: whether the newest of it then is remembered depends on what came since.
    pub fn period_changed_back(&mut self) {
        for newest in self.newest.iter_mut().flat_map(BTreeMap::values_mut) {
            let revision = std::mem::take(&mut newest.revision);
            newest.before.push((revision, newest.points.clone()));
        }
    }

    /// Whether a point is in the newest descriptor of its backend that the engine has seen.
    pub fn is_of_the_newest(&self, backend: usize, point: PointId) -> bool {
        let newest = self.newest[backend].values();
        let before = newest.clone().flat_map(|newest| &newest.before).flat_map(|(_, points)| points);
        newest
            .flat_map(|newest| &newest.points)
            .chain(before)
            .any(|points| points.iter().any(|known| known.id() == point))
    }

    /// An HSDir has stored something: if that is not what it is known to have, an earlier upload was slower than a later one.
    pub fn stored(&mut self, key: Key, relay: RelayId, text: &Text<G>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        if held.by.get(&relay).is_some_and(|known| !Rc::ptr_eq(known, &text.points)) {
            held.by.remove(&relay);
        }
    }

    /// An HSDir has answered to an upload, and the engine hears it. Where its word is not enough, that means nothing yet.
    pub fn answered(
        &mut self,
        key: Key,
        relay: RelayId,
        text: &Text<G>,
        (said, posted): (Said, Moment),
        now: Moment,
    ) {
        match said {
            Said::Stored if G::TELLS => self.hold(key, relay, text, posted),
            Said::Refused => {
                self.excuse(key, now);
                self.refused(key, relay);
            }
            _ => {}
        }
    }

    /// An HSDir has refused a descriptor. Where most have, the engine may guess why.
    fn refused(&mut self, key: Key, relay: RelayId) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.refusing.insert(relay);
        held.may_guess |= held.refusing.len() * 2 >= held.hsdirs.max(1);
    }

    /// The engine is told what an HSDir has.
    pub fn read_back(&mut self, key: Key, relay: RelayId, text: &Text<G>, now: Moment) {
        // Of a service that was removed meanwhile nothing is remembered.
        let Some(held) = self.held.get_mut(&key) else { return };
        if G::TELLS {
            held.seen = held.seen.max(text.revision);
            held.excused = now;
        } else if held.is_awaited(relay, now, G::timing().fetch_timeout) {
            self.hold(key, relay, text, text.made);
        }
    }

    /// An HSDir holds what it was sent at `posted`, if it was sent nothing since.
    fn hold(&mut self, key: Key, relay: RelayId, text: &Text<G>, posted: Moment) {
        let held = self.held.entry(key).or_default();
        if held.sent.get(&relay).is_some_and(|sent| *sent <= posted) {
            held.by.insert(relay, text.points.clone());
        }
        // The engine forgets what it guessed once all have what it was published with last.
        if held.by.len() == held.hsdirs {
            held.refusing.clear();
            held.may_guess = false;
        }
    }

    /// Counts something in a row of moments, of which those are forgotten that are older than `window`; returns how many
    /// there are.
    pub fn count(row: &mut VecDeque<Moment>, now: Moment, window: Duration) -> usize {
        row.push_back(now);
        while row.front().is_some_and(|first| now.since(*first) >= window) {
            row.pop_front();
        }
        row.len()
    }
}
