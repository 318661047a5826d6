//! The documents of the authorities: a list of relays at each vote, and a shared random value in each run.

use std::rc::Rc;

use onionbalance::tor::documents::consensus::{Lifetime, Parameters, SharedRandomValue};
use onionbalance::tor::documents::microdesc::RelayIdentity;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use rand_core::RngCore;

use super::super::dice::Dice;
use super::super::time::Moment;
use super::calendar::Calendar;
use super::id::RelayId;
use super::relay::Relays;
use super::ring::Rings;

/// The time for which a consensus is valid, in times between votes. It is fresh until the next vote.
const VALID: u64 = 3;

/// A consensus with its rings.
pub struct Consensus {
    /// The number of consensuses before it.
    pub number: usize,
    /// The length of periods and of the time between votes.
    pub calendar: Calendar,
    /// The beginning of its validity, by a correct clock.
    pub valid_after: UnixTime,
    /// The relays that it lists, all of them HSDirs, in the order of their numbers.
    pub relays: Vec<RelayId>,
    /// The identities that the balancer's tor hands out for them.
    pub identities: Vec<(Fingerprint, RelayIdentity)>,
    /// The shared random value of the run, which may be missing.
    pub current: Option<[u8; 32]>,
    /// The shared random value of the run before.
    pub previous: Option<[u8; 32]>,
    /// The HSDirs of descriptors, by code of the simulator's own.
    pub rings: Rings,
}

impl Consensus {
    /// The time until which clients take it for live.
    pub fn valid_until(&self) -> Moment {
        Moment::at_wall(self.valid_after.plus(VALID * self.calendar.interval_secs()))
    }

    /// The consensus in the balancer's form.
    pub fn read(&self) -> onionbalance::tor::documents::consensus::Consensus {
        let interval = self.calendar.interval_secs();
        let (fresh, valid) = (self.valid_after.plus(interval), self.valid_after.plus(VALID * interval));
        onionbalance::tor::documents::consensus::Consensus {
            lifetime: Lifetime::new(self.valid_after, fresh, valid).expect("in their order"),
            parameters: Parameters::default(),
            shared_random_current: self.current.map(SharedRandomValue),
            shared_random_previous: self.previous.map(SharedRandomValue),
            hsdirs: Vec::new(),
        }
    }
}

/// The authorities, which make consensuses.
pub struct Authorities {
    calendar: Calendar,
    dice: Dice,
    made: usize,
    /// The time until which they make none.
    pub away_until: Moment,
    /// The last consensuses; clients may hold any that is live.
    pub published: Vec<Rc<Consensus>>,
}

impl Authorities {
    /// Authorities before their first vote.
    pub fn new(calendar: Calendar, dice: Dice) -> Self {
        Self { calendar, dice, made: 0, away_until: Moment::ZERO, published: Vec::new() }
    }

    /// Makes the consensus of this time, unless they are away.
    pub fn vote<P>(&mut self, now: Moment, relays: &Relays<P>) -> Option<Rc<Consensus>> {
        if now < self.away_until {
            return None;
        }
        let mut listed = relays.running.clone();
        listed.sort_unstable();
        let identity = |id: &RelayId| (relays.get(*id).fingerprint, relays.get(*id).identity);
        let valid_after = now.wall();
        let run = valid_after.0 / self.calendar.period_secs();
        let [current, previous] = [run, run - 1].map(|run| self.shared_random(run));
        let last = self.published.last().map(|last| &last.rings);
        let identities: Vec<_> = listed.iter().map(identity).collect();
        let rings = Rings::new(self.calendar, valid_after, [current, previous], &listed, &identities, last);
        let number = self.made;
        self.made += 1;
        let calendar = self.calendar;
        Some(Rc::new(Consensus {
            number,
            calendar,
            valid_after,
            relays: listed,
            identities,
            current,
            previous,
            rings,
        }))
    }

    /// Publishes a consensus.
    pub fn publish(&mut self, consensus: Rc<Consensus>) {
        self.published.push(consensus);
        if self.published.len() > REMEMBERED {
            self.published.remove(0);
        }
    }

    /// The newest consensus.
    pub fn newest(&self) -> Rc<Consensus> {
        self.published.last().expect("there is one before anything happens").clone()
    }

    /// The consensuses that a client may hold: all that are valid; if none is, the newest, with which tor
    /// goes on for a day.
    pub fn live(&self, now: Moment) -> Vec<Rc<Consensus>> {
        let (last, before) = self.published.split_last().expect("there is one before anything happens");
        let valid = before.iter().filter(|consensus| now < consensus.valid_until());
        valid.chain([last]).cloned().collect()
    }

    /// The shared random value of a run; one run in sixteen has none.
    fn shared_random(&self, run: u64) -> Option<[u8; 32]> {
        let mut dice = Dice(self.dice.0 ^ run);
        let mut value = [0; 32];
        dice.fill_bytes(&mut value);
        (value[0] >= 16).then_some(value)
    }
}

/// The number of consensuses that are remembered; fewer can be valid at a time.
const REMEMBERED: usize = 4;
