//! What has to be so, whatever happens.

mod actions;
mod fair;
mod healed;
mod prompt;
mod services;
mod status;
pub mod watch;

use std::fmt;
use std::time::Duration;

use super::time::Moment;

/// What has to be so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invariant {
    /// Clients with any live consensus find a descriptor.
    Found,
    /// Every HSDir that could have a descriptor has it.
    Stored,
    /// A descriptor lists points of the service's own backends only.
    Configured,
    /// Points of a backend that is dead, or that gave them up, are not listed for longer than promised.
    Living,
    /// A living backend's points are listed.
    Seen,
    /// A living backend, where it can be found, is not taken for dead.
    Alive,
    /// A backend's newest descriptor counts.
    Newest,
    /// When all backends are gone, the last points stay published for a while, and not for longer.
    LastSet,
    /// A set is not empty, not too long, and lists no two points that a client could not tell apart.
    Sets,
    /// Where HSDirs have sets of their own, none is on more of them than another.
    Fair,
    /// Tor is asked no more than so often in any minute.
    Budget,
    /// No more than so many requests are outstanding at tor at a time.
    InFlight,
    /// A revision that an HSDir was seen to hold is exceeded.
    Revision,
    /// A revision exceeds no other floor than that, or one that is guessed because most HSDirs refuse.
    Guess,
    /// All HSDirs of a descriptor hold one revision: a client discards what is below the one that it holds.
    Height,
    /// What an HSDir has is not sent there again before it has to be.
    Needless,
    /// Changes are listed, and backends are looked for, within seconds, unless requests wait for their turn at tor.
    Prompt,
    /// Services do not act in step.
    Spread,
    /// The engine's status says of HSDirs and backends what is so.
    Status,
    /// Everything is well some time after the last fault.
    Healed,
    /// The next deadline lies ahead.
    Deadline,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Moment,
    /// Of which service, backend or the like.
    pub of: String,
    /// What was expected, and what was there.
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

/// What was seen in a simulation in which everything was as it should be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// How much time has passed in it.
    pub simulated: Duration,
    /// How many events the engine has handled.
    pub events: u64,
    /// What clients would have got, who looked for every service every minute with each live consensus.
    pub look_ups: LookUps,
    /// The most publications that waited for the signer at a time.
    pub longest_line: usize,
    /// The most posts of one descriptor within an hour.
    pub most_posts: usize,
    /// How many times an HSDir was asked for a backend's descriptor.
    pub fetches: u64,
    /// How many of these tor answered later than the engine waits.
    pub late_fetches: u64,
    /// How many times a living backend was taken for too old.
    pub taken_for_dead: u64,
    /// For how many minutes each service was there, all together.
    pub service_minutes: u64,
    /// In how many of these clients with a live consensus found it at no HSDir.
    pub dark_minutes: u64,
    /// Stands for everything that the engine has said.
    pub digest: u64,
}

/// What clients get who look for services.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LookUps {
    /// How many HSDirs they ask.
    pub asked: u64,
    /// How many of these have what is looked for, and nothing that is below the highest revision that another one has: a client
    /// that holds that discards it.
    pub served: u64,
    /// How many times none has.
    pub dark: u64,
    /// How many times one of the HSDirs at least has to have it.
    pub owed: u64,
    /// How many times it is not owed: something has kept the balancer from it for too long.
    pub excused: u64,
}

impl LookUps {
    /// Counts these, too.
    pub fn add(&mut self, others: Self) {
        self.asked += others.asked;
        self.served += others.served;
        self.dark += others.dark;
        self.owed += others.owed;
        self.excused += others.excused;
    }
}
