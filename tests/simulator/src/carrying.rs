//! Carrying the engine's actions out, and reporting the outcomes to it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{
    Action, Event, Found, Point, Post, PublicationId, Revision, ServiceId, UploadOutcome,
};
use onionbalance_proto::relay::Fingerprint;

use super::balancer::{Call, SIGNING, number_of};
use super::invariants::Invariant;
use super::network::cache::{Key, Text};
use super::network::id::RelayId;
use super::network::relay::{Given, Said};
use super::onion_version::OnionVersion;
use super::time::Moment;
use super::tor::{Fate, SILENCE};
use super::world::{Happening, World};

/// A publication that waits for the signer or for tor.
pub struct Order<V> {
    /// The publication's name in the engine.
    id: PublicationId,
    key: Key,
    /// For each set its number, its points, and the HSDirs that get it.
    posts: Vec<(usize, Rc<[V]>, Vec<RelayId>)>,
    revision: Revision,
    /// False after a later publication took its place while it was being signed.
    is_wanted: bool,
}

/// The texts that were signed together, by the numbers of their sets.
pub struct Round<V> {
    revision: u64,
    texts: BTreeMap<usize, Rc<Text<V>>>,
}

/// An upload in progress.
pub struct Upload<V> {
    call: Call,
    id: PublicationId,
    key: Key,
    relay: RelayId,
    text: Rc<Text<V>>,
    /// The time at which tor was given it.
    posted: Moment,
}

/// The requests that fail and whose failure tor reports, out of 1000.
pub const FAILURES: u64 = 15;
/// The time after which the runtime gives up an upload without an event. Tor's event of a success does not
/// name the upload: until then the event of a later upload to the same HSDir may belong to the earlier one.
const GIVEN_UP: Duration = Duration::from_secs(140);
/// The time between two uploads within which the runtime still expects the end of the earlier one, and
/// reports nothing before.
const APART: Duration = Duration::from_secs(10);
/// The reason for not posting a publication that a later one replaces.
const REPLACED: &str = "a later publication takes its place";
/// The texts that are to be posted again but are gone, out of 1000.
const FORGOTTEN: u64 = 50;

impl<V: OnionVersion> World<V> {
    /// Gives the engine an event, and carries its actions out.
    pub fn tell(&mut self, event: Event<V>) {
        if self.balancer.asleep.is_some() {
            return;
        }
        let now = self.balancer.now(self.now);
        self.trace_event(&event);
        match &event {
            Event::Configuration(configuration) => {
                self.watch.health.configure(&configuration.services, self.now);
            }
            Event::TorLost | Event::TorReady => self.watch.health.tor_lost(),
            _ => {}
        }
        let Some(engine) = &mut self.balancer.engine else { return };
        let actions = engine.handle(now, event);
        let deadline = engine.next_deadline();
        self.balancer.deadline = deadline;
        self.report.events += 1;
        self.watch.heard(self.now, &actions);
        self.check_deadline(now, deadline);
        self.note_load();
        self.hear_of_other_offers(&actions);
        for action in actions {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action<V>) {
        self.trace_action(&action);
        self.check_action(&action);
        match action {
            Action::Fetch { backend, from } => self.fetch(&backend, from),
            Action::Publish { id, service, slot, posts, revision } => {
                let key = Key { owner: number_of(&service.0), slot };
                let post = |Post { set, points, to }: Post<V>| {
                    let points = points.into_iter().map(|chosen| chosen.point).collect();
                    let to = to.into_iter().map(|hsdir| self.relays.find(hsdir)).collect();
                    (set, self.balancer.set(key.owner, points), to)
                };
                let posts = posts.into_iter().map(post).collect();
                let order = Order { id, key, posts, revision, is_wanted: true };
                match revision {
                    Revision::New { .. } => self.order(order),
                    Revision::Kept(_) => {
                        let at = self.now.after(self.dice.between(SIGNING.0, SIGNING.1));
                        self.queue.plan(at, Happening::Handed(self.balancer.call, Box::new(order)));
                    }
                }
            }
            Action::ReadBack { service, slot, hsdir } => {
                let key = Key { owner: number_of(&service.0), slot };
                let relay = self.relays.find(hsdir);
                if V::TELLS {
                    // The HSDir that refused is read back. Without an answer the engine may guess a higher revision,
                    // which all HSDirs get.
                    self.watch.excuse(key, self.now.after(V::timing().fetch_timeout));
                }
                if let Some(at) = self.ask_tor(Some(relay)).told_at() {
                    self.queue.plan(at, Happening::ReadBack(self.balancer.call, key, relay));
                }
            }
            Action::Probe { id, backend, check } => self.probe(id, &backend, check),
            Action::Notice(_) => {}
        }
    }

    /// Adds an order to the line before the signer, in the place of the one that it replaces. The first one
    /// of the line is being signed.
    fn order(&mut self, order: Order<V>) {
        let line = &mut self.balancer.orders;
        if let Some(first) = line.front_mut().filter(|first| first.key == order.key) {
            first.is_wanted = false;
        }
        match line.iter_mut().skip(1).find(|other| other.key == order.key) {
            Some(other) => {
                let old = std::mem::replace(other, order);
                self.tell(not_posted(old.id, REPLACED));
            }
            None => line.push_back(order),
        }
        let length = self.balancer.orders.len();
        self.report.longest_line = self.report.longest_line.max(length);
        if length == 1 {
            self.begin_signing();
        }
    }

    /// The signer begins with the first of the line.
    pub fn begin_signing(&mut self) {
        let time = self.dice.between(SIGNING.0, SIGNING.1) + self.scenario.signature;
        self.queue.plan(self.now.after(time), Happening::Signed(self.balancer.call));
    }

    /// Takes the answer of the signer.
    pub fn signed(&mut self, call: Call) {
        if call != self.balancer.call {
            return;
        }
        let Some(order) = self.balancer.orders.pop_front() else { return };
        if !self.balancer.orders.is_empty() {
            self.begin_signing();
        }
        self.post(call, &order);
    }

    /// Hands over texts that were signed before, as soon as the machine is awake.
    pub fn hand(&mut self, call: Call, order: Box<Order<V>>) {
        if self.balancer.asleep.is_some() && call.life == self.balancer.call.life {
            self.balancer.delayed.push(order);
        } else {
            self.post(call, &order);
        }
    }

    /// Gives tor the texts of a publication, which are signed.
    fn post(&mut self, call: Call, order: &Order<V>) {
        if call != self.balancer.call {
            return;
        }
        let (id, key) = (order.id, order.key);
        if !order.is_wanted {
            return self.tell(not_posted(id, REPLACED));
        }
        let revision = match order.revision {
            Revision::Kept(revision) => revision,
            Revision::New { floor } => match self.sign(order, floor.unwrap_or(0)) {
                Ok(revision) => revision,
                Err(problem) => return self.tell(not_posted(id, problem)),
            },
        };
        let sets = order.posts.iter().map(|(set, ..)| *set);
        let kept = self.balancer.kept.get(&key).filter(|round| round.revision == revision);
        if let Some(set) = kept.and_then(|round| sets.clone().find(|set| !round.texts.contains_key(set))) {
            let of = self.services[key.owner].id.0.clone();
            return self.fail(
                Invariant::Sets,
                &of,
                format!("set {set} was signed with the others of its revision"),
            );
        }
        let texts: Option<Vec<Rc<Text<V>>>> =
            kept.and_then(|round| sets.map(|set| round.texts.get(&set).cloned()).collect());
        let is_new = matches!(order.revision, Revision::New { .. });
        let Some(texts) = texts.filter(|_| is_new || !self.dice.chance(FORGOTTEN)) else {
            self.watch.excuse(key, self.now);
            return self.tell(Event::NotKept { id });
        };
        self.check_leak(key, texts.len());
        let mut unknown = Vec::new();
        for ((_, _, to), text) in order.posts.iter().zip(texts) {
            for relay in to.iter().copied() {
                if !self.is_known_to_tor(relay) {
                    unknown.push(relay);
                    continue;
                }
                let (text, posted) = (text.clone(), self.now);
                let Some(at) = self.upload_ends(key, relay) else {
                    self.balancer.unheard.insert((key.owner, relay), posted);
                    continue;
                };
                let upload = Upload { call, id, key, relay, text, posted };
                self.queue.plan(at, Happening::Uploaded(Box::new(upload)));
            }
        }
        if let Some(held) = self.watch.held.get_mut(&key).filter(|_| !unknown.is_empty()) {
            held.unknown = true;
        }
        if let Some(held) = self.watch.held.get_mut(&key) {
            held.highest = held.highest.max(revision);
        }
        self.tell(Event::Posted { id, revision });
        for relay in unknown {
            let hsdir = self.relays.get(relay).fingerprint;
            self.tell(Event::Uploaded { id, hsdir, outcome: UploadOutcome::Unknown });
        }
    }

    /// Signs all sets of a descriptor, and keeps the texts; or returns the reason of a refusal.
    fn sign(&mut self, order: &Order<V>, floor: u64) -> Result<u64, &'static str> {
        let (key, wall) = (order.key, self.balancer.wall(self.now));
        if self.balancer.signer_away {
            return Err("the signer is away");
        }
        let calendar = self.scenario.calendar;
        let is_signed = V::is_signed(&self.addresses[key.owner], key.slot, calendar, wall);
        if self.services[key.owner].poisoned || !is_signed {
            return Err("the signer refuses");
        }
        let mut revision = V::revision(key.slot, calendar, wall);
        if V::TELLS {
            let last = self.balancer.signed.get(&key).copied().unwrap_or(0);
            let seen = floor.min(self.balancer.reach(key.slot, calendar, self.now));
            revision = revision.max(last + 1).max(seen + 1);
            self.balancer.signed.insert(key, revision);
        }
        self.balancer.given.insert(key, (revision, self.now));
        let text = |points: &Rc<[V]>| Rc::new(Text { revision, made: self.now, points: points.clone() });
        let texts = order.posts.iter().map(|(set, points, _)| (*set, text(points))).collect();
        self.balancer.kept.insert(key, Round { revision, texts });
        Ok(revision)
    }

    /// Asks tor for something at this HSDir, or at one that tor chooses.
    pub fn ask_tor(&mut self, relay: Option<RelayId>) -> Fate {
        let is_reached =
            !self.probing.is_cut_off && relay.is_none_or(|relay| self.relays.get(relay).is_reached());
        let fate = self.balancer.tor.ask(self.now, is_reached, &mut self.dice);
        self.check_in_flight();
        fate
    }

    /// True if tor has the descriptor of a relay that it takes to build a circuit to it.
    pub fn is_known_to_tor(&self, relay: RelayId) -> bool {
        let is_listed = self.balancer.consensus.relays.binary_search(&relay).is_ok();
        is_listed && !self.relays.get(relay).is_missing
    }

    /// The end of an upload that begins now; `None` if it does not reach the HSDir and tor does not report
    /// it. The runtime reports no end before the ends of earlier uploads, because tor does not name the
    /// upload. So the uploads end in their order.
    fn upload_ends(&mut self, key: Key, relay: RelayId) -> Option<Moment> {
        let at = self.ask_tor(Some(relay)).told_at()?;
        let last = self.balancer.uploads.entry((key, relay)).or_insert(at);
        *last = at.max(Moment(last.0 + 1));
        Some(*last)
    }

    /// Takes the end of an upload.
    pub fn uploaded(&mut self, upload: Upload<V>) {
        let Upload { call, id, key, relay, text, posted } = upload;
        if call.tor != self.balancer.call.tor {
            return;
        }
        let (now, until) = (self.now, self.now.after(V::KEPT));
        let said = if self.dice.chance(FAILURES) {
            Said::Failed
        } else {
            if !self.relays.has(relay, key, &text.points, now) {
                self.touch(key.owner);
            }
            self.watch.stored(key, relay, &text);
            self.relays.store(relay, key, &text, (now, until), V::supersedes, V::TELLS)
        };
        let earlier = self.balancer.unheard.get(&(key.owner, relay)).copied();
        let earlier = earlier.filter(|earlier| *earlier < posted && now.since(*earlier) < GIVEN_UP);
        let unclear = said == Said::Stored && earlier.is_some();
        if unclear && earlier.is_some_and(|earlier| posted.since(earlier) < APART) {
            return;
        }
        let outcome = match said {
            Said::Stored if unclear => UploadOutcome::Unclear,
            Said::Stored => UploadOutcome::Stored,
            Said::Refused => UploadOutcome::Refused("HTTP 400".into()),
            Said::Failed => UploadOutcome::Failed,
            Said::Nothing => return,
        };
        if call == self.balancer.call && !self.dice.chance(SILENCE) {
            if unclear {
                self.balancer.unheard.remove(&(key.owner, relay));
            } else {
                self.watch.answered(key, relay, &text, (said, posted), now);
            }
            let hsdir = self.relays.get(relay).fingerprint;
            self.tell(Event::Uploaded { id, hsdir, outcome });
        }
    }

    /// Takes an HSDir's answer for the frontend's own descriptor.
    pub fn read_back(&mut self, call: Call, key: Key, relay: RelayId) {
        if call != self.balancer.call {
            return;
        }
        let wall = self.balancer.wall(self.now);
        let mut looked_for = V::looked_for(&self.balancer.consensus, &self.addresses[key.owner], wall);
        // A tor of version 3 fetches only the descriptor that clients look for.
        let can = V::BY_THE_CLOCK || looked_for.any(|slot| slot == key.slot);
        let found = match self.relays.give(relay, key, self.now) {
            _ if !can || self.dice.chance(FAILURES) || self.relays.get(relay).is_missing => Found::Failed,
            Given::Nothing => return,
            Given::Failed | Given::Garbage => Found::Failed,
            Given::NotFound => Found::Nothing,
            Given::Text(text) => {
                self.watch.read_back(key, relay, &text, self.now);
                let points = text.points.iter().map(Point::id).collect();
                Found::Copy { revision: text.revision, points }
            }
        };
        if V::TELLS {
            self.watch.excuse(key, self.now);
        }
        let hsdir: Fingerprint = self.relays.get(relay).fingerprint;
        let service = ServiceId::clone(&self.services[key.owner].id);
        self.tell(Event::ReadBack { service, slot: key.slot, hsdir, found });
    }
}

fn not_posted<V: Point>(id: PublicationId, problem: &str) -> Event<V> {
    Event::NotPosted { id, problem: problem.into() }
}
