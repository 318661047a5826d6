//! The limits of tor: a bound on the requests that are outstanding there, and the order of those that wait.
//!
//! Tor builds 32 circuits for its client at a time (`MaxClientCircuitsPending`), and each request to an HSDir
//! needs a circuit of its own, an upload as well as a fetch. Further requests queue inside tor, where none
//! can be taken back or preferred, and fetches are given up before they begin. So the engine keeps the line
//! itself. Three rules bound it:
//!
//! - *Slots.* No more than [`Settings::in_flight`](super::Settings) circuits are asked for at a time. A
//!   request holds its slot until it is answered, or for [`HELD`]: a circuit that fails gives no event.
//! - *Pace.* Requests leave at even distances, except for a small burst: tor needs 38 ms to take a command,
//!   and all others wait. The pace prevents a storm after a clock step, a restart of tor or a change of the
//!   ring. The first request for a backend, and the first publication of the descriptors that a service
//!   begins with, come once in the engine's life: only slots bound them.
//! - *Order.* Posts come before looks, looks before read-backs, and read-backs before probes. While others
//!   wait, a line leaves them their share of the slots, which is the least that they need (see [`Shares`]): so
//!   no line starves. Probes never have more than their share.

mod line;
mod slots;

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use self::line::Line;
pub(super) use self::line::{Due, Place};
use self::slots::Slots;
pub(super) use self::slots::{Kind, Request};
use super::id::{BackendId, DescriptorSlot, ProbeId, PublicationId, ServiceId};
use super::notice::Notice;
use super::registry::Number;
use super::status::Load;
use super::timing::{Demand, Settings};

/// A descriptor that waits to be posted.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    pub(super) service: Number<ServiceId>,
    pub(super) slot: DescriptorSlot,
}

/// A descriptor that waits to be read back.
pub(super) struct ReadBack {
    pub(super) service: Number<ServiceId>,
    pub(super) slot: DescriptorSlot,
    /// The HSDir whose acknowledgement has to be proven; `None`: any that refused.
    pub(super) from: Option<Fingerprint>,
}

/// The time for which a request without an answer keeps its slot.
///
/// Tor gives a circuit up after `CircuitBuildTimeout`, 60 s at most, and a request after two minutes
/// (`SocksTimeout`). So most of the requests without an answer are over by then, and the eight circuits that
/// tor has beyond the slots remain for the others.
const HELD: Duration = Duration::from_secs(60);

/// The time for which a publication keeps its slots before it is posted: the signer may be slow, and the
/// runtime always answers.
const HELD_FOR_SIGNING: Duration = Duration::from_secs(10 * 60);

/// The time for which a probe without an answer keeps its slots. Its circuits are built by then, or fail; it
/// waits for a backend that does not answer.
const HELD_FOR_PROBE: Duration = Duration::from_secs(10);

/// The circuits that tor builds at a time for a probe: to the introduction point and to the rendezvous.
const CIRCUITS_OF_PROBE: usize = 2;

/// The most requests that are outstanding at a time. Each line has at least what one request needs.
fn in_flight(settings: &Settings, demand: Demand) -> usize {
    let least = if demand.has_probes { 3 + CIRCUITS_OF_PROBE } else { 3 };
    settings.in_flight.max(least)
}

/// The number of slots that the others leave to each line while it waits.
///
/// Looks have enough slots to look for each backend four times before its copy is too old, and read-backs
/// enough to read everything back within the least time between two renewals, but neither has more than a
/// third. So a look at 5,400 backends every 45 minutes, or the read-backs of 600 version-2 services in an
/// hour, is a third of one tor. Probes have a quarter if there are any. Posts have the rest.
#[derive(Clone, Copy)]
struct Shares {
    posts: usize,
    looks: usize,
    read_backs: usize,
    probes: usize,
}

impl Shares {
    fn new(settings: &Settings, demand: Demand) -> Self {
        let in_flight = in_flight(settings, demand);
        let third = in_flight / 3;
        let share = |requests: usize, within: Duration| {
            let busy = REQUEST.as_millis() * requests as u128;
            let slots = busy.div_ceil(within.as_millis().max(1));
            usize::try_from(slots).unwrap_or(usize::MAX).clamp(1, third)
        };
        let looks = share(demand.backends, settings.timing.max_age / 4);
        let read_backs = share(demand.read_backs, settings.timing.republish_from);
        let probes = if demand.has_probes { (in_flight / 4).max(CIRCUITS_OF_PROBE) } else { 0 };
        Self { posts: in_flight - looks - read_backs - probes, looks, read_backs, probes }
    }

    fn of(self, kind: Kind) -> usize {
        match kind {
            Kind::Post => self.posts,
            Kind::Look => self.looks,
            Kind::ReadBack => self.read_backs,
            Kind::Probe => self.probes,
        }
    }
}

/// The average time for which a request keeps its slot: a circuit takes one to four seconds, and some
/// requests are never answered.
const REQUEST: Duration = Duration::from_secs(4);

/// The four lines, and the requests that are outstanding at tor.
pub(super) struct Capacity {
    posts: Line<Posting>,
    looks: Line<Number<BackendId>>,
    read_backs: Line<ReadBack>,
    probes: Line<Number<BackendId>>,
    slots: Slots,
    in_flight: usize,
    shares: Shares,
    /// The time of [`Notice::Behind`]; `None` without one, or after [`Notice::CaughtUp`].
    behind_since: Option<Duration>,
}

impl Capacity {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            posts: Line::new(settings.posts_per_minute),
            looks: Line::new(settings.fetches_per_minute),
            read_backs: Line::new(settings.read_backs_per_minute),
            probes: Line::new(settings.probes_per_minute),
            slots: Slots::new(),
            in_flight: in_flight(settings, Demand::default()),
            shares: Shares::new(settings, Demand::default()),
            behind_since: None,
        }
    }

    /// Replaces the limits by those of `settings`, and the shares of the slots by those for `demand`.
    pub(super) fn allow(&mut self, settings: &Settings, demand: Demand) {
        self.posts.allow(settings.posts_per_minute);
        self.looks.allow(settings.fetches_per_minute);
        self.read_backs.allow(settings.read_backs_per_minute);
        self.probes.allow(settings.probes_per_minute);
        self.in_flight = in_flight(settings, demand);
        self.shares = Shares::new(settings, demand);
    }

    /// Adds a descriptor that is to be posted. Returns its place in the line.
    pub(super) fn join_posts(&mut self, now: Duration, due: Due, post: Posting) -> Place {
        self.posts.join(now, due, post)
    }

    /// Moves a waiting descriptor forward if it is due earlier than before. Returns its place.
    pub(super) fn hasten_post(&mut self, place: Place, due: Due) -> Place {
        self.posts.hasten(place, due)
    }

    /// Removes a waiting descriptor that has vanished. Another one of the same slot, which comes if a clock
    /// goes back, has a place of its own, and must not take an earlier one.
    pub(super) fn leave_posts(&mut self, place: Place) {
        self.posts.remove(place);
    }

    /// Adds a backend that is to be looked for. Returns its place in the line.
    pub(super) fn join_looks(&mut self, now: Duration, due: Due, backend: Number<BackendId>) -> Place {
        self.looks.join(now, due, backend)
    }

    /// Moves a waiting backend forward if it is due earlier than before. Returns its place.
    pub(super) fn hasten_look(&mut self, place: Place, due: Due) -> Place {
        self.looks.hasten(place, due)
    }

    /// Adds a descriptor of our own that is to be read back.
    pub(super) fn join_read_backs(&mut self, now: Duration, read_back: ReadBack) {
        self.read_backs.join(now, Due::By(now), read_back);
    }

    /// Adds a backend that is to be probed.
    pub(super) fn join_probes(&mut self, now: Duration, backend: Number<BackendId>) {
        self.probes.join(now, Due::By(now), backend);
    }

    /// The first post, which stays in its line. `None` if none waits, the pace delays it, or no slot is free.
    pub(super) fn first_post(&self, now: Duration) -> Option<Posting> {
        self.posts.first(now).copied().filter(|_| self.room(Kind::Post, now) > 0)
    }

    /// Takes the first post out of its line if there are slots for all its circuits. If these are more than
    /// the share of posts, the post leaves when as many slots as that share are free: it cannot be divided,
    /// because all its sets have one revision.
    pub(super) fn next_post(&mut self, now: Duration, circuits: usize) -> Option<Posting> {
        let circuits = circuits.min(self.shares.of(Kind::Post));
        let first = self.first_post(now).filter(|_| circuits <= self.room(Kind::Post, now));
        first.and_then(|_| self.posts.leave())
    }

    /// Takes the first backend out of the line of looks. `None` if none waits, the pace delays it, or no slot
    /// is free.
    pub(super) fn next_look(&mut self, now: Duration) -> Option<Number<BackendId>> {
        let may_go = self.looks.first(now).is_some() && self.room(Kind::Look, now) > 0;
        may_go.then(|| self.looks.leave()).flatten()
    }

    /// Takes the first read-back out of its line. `None` if none waits, the pace delays it, or no slot is
    /// free.
    pub(super) fn next_read_back(&mut self, now: Duration) -> Option<ReadBack> {
        let may_go = self.read_backs.first(now).is_some() && self.room(Kind::ReadBack, now) > 0;
        may_go.then(|| self.read_backs.leave()).flatten()
    }

    /// Takes the first backend out of the line of probes. `None` if none waits, the pace delays it, or the
    /// slots for it are not free.
    pub(super) fn next_probe(&mut self, now: Duration) -> Option<Number<BackendId>> {
        let own = self.shares.probes.saturating_sub(self.slots.held_by(Kind::Probe));
        let room = self.room(Kind::Probe, now).min(own);
        let may_go = self.probes.first(now).is_some() && room >= CIRCUITS_OF_PROBE;
        may_go.then(|| self.probes.leave()).flatten()
    }

    /// Notes that a publication was handed out for signing and posting: it takes a slot for each of its
    /// uploads, and `posts` of the pace; none if it was [`Due::Now`].
    pub(super) fn posted(&mut self, now: Duration, posts: usize, uploads: impl Iterator<Item = Request>) {
        for _ in 0..posts {
            self.posts.spend(now);
        }
        for upload in uploads {
            self.slots.take(upload, now + HELD_FOR_SIGNING);
        }
    }

    /// Notes that a request for a backend was handed out. `is_first` is true if it was [`Due::Now`].
    pub(super) fn looked(&mut self, now: Duration, request: Request, is_first: bool) {
        if !is_first {
            self.looks.spend(now);
        }
        self.slots.take(request, now + HELD);
    }

    /// Notes that a read-back was handed out.
    pub(super) fn read_back(&mut self, now: Duration, request: Request) {
        self.read_backs.spend(now);
        self.slots.take(request, now + HELD);
    }

    /// Notes that a probe was handed out.
    pub(super) fn probed(&mut self, now: Duration, id: ProbeId) {
        self.probes.spend(now);
        for _ in 0..CIRCUITS_OF_PROBE {
            self.slots.take(Request::Probe(id), now + HELD_FOR_PROBE);
        }
    }

    /// Notes that a probe was answered.
    pub(super) fn probe_answered(&mut self, id: ProbeId) {
        for _ in 0..CIRCUITS_OF_PROBE {
            self.slots.free(Request::Probe(id));
        }
    }

    /// Notes that tor has taken a publication: its uploads begin.
    pub(super) fn begun(&mut self, now: Duration, id: PublicationId) {
        self.slots.keep_publication(id, now + HELD);
    }

    /// Notes that a publication was not posted.
    pub(super) fn not_begun(&mut self, id: PublicationId) {
        self.slots.free_publication(id);
    }

    /// Notes that a request was answered.
    pub(super) fn answered(&mut self, request: Request) {
        self.slots.free(request);
    }

    /// Frees the slots of requests that will not be answered any more.
    pub(super) fn expire(&mut self, now: Duration) {
        self.slots.expire(now);
    }

    /// Moves all times on by the time that the machine `slept`: tor did nothing in it either, and it does not
    /// count as a wait.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        self.posts.wake_up(slept);
        self.looks.wake_up(slept);
        self.read_backs.wake_up(slept);
        self.probes.wake_up(slept);
        self.slots.wake_up(slept);
        self.behind_since = self.behind_since.map(|since| since.saturating_add(slept));
    }

    /// Notes that tor is lost: forgets the requests that it had, and those that wait.
    pub(super) fn clear(&mut self) {
        self.posts.clear();
        self.looks.clear();
        self.read_backs.clear();
        self.probes.clear();
        self.slots = Slots::new();
    }

    /// Reports once that the longest wait has reached `patience`, and once that it has fallen to half of
    /// that.
    pub(super) fn judge(&mut self, now: Duration, patience: Duration) -> Option<Notice> {
        let wait = self.longest_wait(now);
        match self.behind_since {
            None if wait >= patience => {
                self.behind_since = Some(now);
                Some(Notice::Behind { load: self.load(now) })
            }
            Some(since) if wait <= patience / 2 => {
                self.behind_since = None;
                Some(Notice::CaughtUp { after: now.saturating_sub(since) })
            }
            _ => None,
        }
    }

    pub(super) fn load(&self, now: Duration) -> Load {
        Load {
            in_flight: self.slots.len(),
            most_in_flight: self.in_flight,
            posts_waiting: self.posts.len(),
            looks_waiting: self.looks.len(),
            read_backs_waiting: self.read_backs.len(),
            probes_waiting: self.probes.len(),
            longest_wait: self.longest_wait(now),
            behind_for: self.behind_since.map(|since| now.saturating_sub(since)),
        }
    }

    /// The next time at which a request may leave that may not at `now`; `None` if none waits.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let lines = Kind::ALL.into_iter().filter_map(|kind| {
            let ready_at = self.ready_at(kind)?;
            if ready_at > now { Some(ready_at) } else { self.slots.next_free() }
        });
        lines.min()
    }

    /// The number of slots that a line may take now: the free ones, less those that the other waiting lines
    /// have not taken of their shares.
    fn room(&self, kind: Kind, now: Duration) -> usize {
        let waits = |other: &Kind| self.ready_at(*other).is_some_and(|ready_at| ready_at <= now);
        let others = Kind::ALL.into_iter().filter(|other| *other != kind).filter(waits);
        let left_to = |other| self.shares.of(other).saturating_sub(self.slots.held_by(other));
        let reserved: usize = others.map(left_to).sum();
        self.in_flight.saturating_sub(self.slots.len() + reserved)
    }

    /// The time from which the first request of a line may leave; `None` if none waits there.
    fn ready_at(&self, kind: Kind) -> Option<Duration> {
        match kind {
            Kind::Post => self.posts.ready_at(),
            Kind::Look => self.looks.ready_at(),
            Kind::ReadBack => self.read_backs.ready_at(),
            Kind::Probe => self.probes.ready_at(),
        }
    }

    fn longest_wait(&self, now: Duration) -> Duration {
        let lines = [self.posts.waiting_since(), self.looks.waiting_since(), self.read_backs.waiting_since()];
        lines.into_iter().flatten().min().map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}
