//! Invariants that hold whatever happens.

mod actions;
mod alarm;
mod clients;
mod fair;
mod first;
mod healed;
mod health;
pub mod probes;
mod prompt;
mod services;
mod status;
pub mod watch;
mod weights;

use std::fmt;
use std::time::Duration;

use super::time::Moment;

/// A property that always holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invariant {
    /// Clients with any live consensus find a descriptor.
    Found,
    /// Every HSDir that could have a descriptor has it.
    Stored,
    /// A descriptor lists points of the service's own backends only.
    Configured,
    /// Points of a dead backend, or points that a backend gave up, are not listed for longer than promised.
    Living,
    /// A living backend's points are listed.
    Seen,
    /// A living backend that can be found does not count as dead.
    Alive,
    /// A backend's newest descriptor counts.
    Newest,
    /// When all backends are gone, the last points stay published for a while, and not for longer.
    LastSet,
    /// A set is not empty, not too long, and lists no two points that a client could not tell apart.
    Sets,
    /// If HSDirs have sets of their own, no set is on more of them than another.
    Fair,
    /// Clients find backends as often as their weights ask for, as far as points allow; and drained ones
    /// not at all.
    Weights,
    /// A drain by command is in force until its end, over reloads and restarts, and no longer.
    Drains,
    /// A backend that does not answer its probes is not listed, and one that does is, in time; it is probed
    /// at its interval.
    Health,
    /// No backend counts as unwell because of tor's own trouble.
    Blame,
    /// Tor gets no more requests in a minute than the budgets allow.
    Budget,
    /// No more than the allowed number of requests are outstanding at tor at a time.
    InFlight,
    /// A revision that an HSDir was seen to hold is exceeded.
    Revision,
    /// A revision exceeds no other floor than that, unless it is a guess because most HSDirs refuse.
    Guess,
    /// All HSDirs of a descriptor hold one revision: a client discards a revision below the one that it
    /// holds.
    Height,
    /// An HSDir does not get a descriptor that it has again before that is needed.
    Needless,
    /// Changes are listed, and backends are looked for, within seconds, unless requests wait for their turn
    /// at tor.
    Prompt,
    /// Services do not act in step.
    Spread,
    /// The engine's status of HSDirs, points and backends is true.
    Status,
    /// Everything is well some time after the last fault.
    Healed,
    /// The next deadline is in the future.
    Deadline,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken invariant.
    pub invariant: Invariant,
    /// The simulated time of the failure.
    pub at: Moment,
    /// The service, backend or other object that it concerns.
    pub of: String,
    /// The expected and the actual state.
    pub expected: String,
    /// The command that shows it again.
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, of, expected, replay } = self;
        write!(f, "{invariant:?}, {at}, {of}: {expected}\n  {replay}")
    }
}

/// The figures of a simulation without a failure.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// The simulated time.
    pub simulated: Duration,
    /// The number of events that the engine has handled.
    pub events: u64,
    /// The results of clients that look for every service every minute with each live consensus.
    pub look_ups: LookUps,
    /// The most publications that waited for the signer at a time.
    pub longest_line: usize,
    /// The most posts of one descriptor within an hour.
    pub most_posts: usize,
    /// The number of times that an HSDir was asked for a backend's descriptor.
    pub fetches: u64,
    /// The number of these that tor answered later than the engine waits.
    pub late_fetches: u64,
    /// The number of times that a living backend counted as too old.
    pub taken_for_dead: u64,
    /// The minutes for which each service was there, in sum.
    pub service_minutes: u64,
    /// The number of these in which clients with a live consensus found it at no HSDir.
    pub dark_minutes: u64,
    /// The minutes for which the engine has said that it is behind.
    pub behind_minutes: u64,
    /// The longest wait of a request in those minutes.
    pub longest_wait: Duration,
    /// A digest of all actions of the engine.
    pub digest: u64,
}

impl Report {
    /// Adds the report of another simulation of the same time.
    pub fn add(&mut self, other: &Self) {
        self.simulated = self.simulated.max(other.simulated);
        self.events += other.events;
        self.look_ups.add(other.look_ups);
        self.longest_line = self.longest_line.max(other.longest_line);
        self.most_posts = self.most_posts.max(other.most_posts);
        self.fetches += other.fetches;
        self.late_fetches += other.late_fetches;
        self.taken_for_dead += other.taken_for_dead;
        self.service_minutes += other.service_minutes;
        self.dark_minutes += other.dark_minutes;
        self.behind_minutes += other.behind_minutes;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.digest ^= other.digest;
    }
}

/// The results of clients that look for services.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LookUps {
    /// The number of HSDirs that they ask.
    pub asked: u64,
    /// The number of these that have the descriptor with no lower revision than another one: a client that
    /// holds the highest revision discards lower ones.
    pub served: u64,
    /// The number of times that no HSDir has it.
    pub dark: u64,
    /// The number of times that at least one of the HSDirs has to have it.
    pub owed: u64,
    /// The number of times that none has to have it: something has kept the balancer from it for too long.
    pub excused: u64,
}

impl LookUps {
    /// Adds these to the sums.
    pub fn add(&mut self, others: Self) {
        self.asked += others.asked;
        self.served += others.served;
        self.dark += others.dark;
        self.owed += others.owed;
        self.excused += others.excused;
    }
}
