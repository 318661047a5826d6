//! Relays, and the descriptors that they keep as HSDirs.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::DescriptorSlot;
use onionbalance::relay::Fingerprint;
use onionbalance::tor::documents::microdesc::RelayIdentity;
use rand_core::RngCore;

use super::super::dice::Dice;
use super::super::time::Moment;

/// A relay's number; none is used twice.
pub type RelayId = usize;

/// How a relay treats descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// As it should.
    Honest,
    /// Says 400 to every upload; what it has it hands out.
    Refuses,
    /// Says that it has stored what it throws away.
    Discards,
    /// Hands out garbage.
    Garbles,
    /// Every request fails, and says so.
    Fails,
    /// Every circuit to it fails, of which tor tells nothing.
    Silent,
}

/// Every manner but the honest one.
pub const FAULTY: [Manner; 5] =
    [Manner::Refuses, Manner::Discards, Manner::Garbles, Manner::Fails, Manner::Silent];

/// Whose descriptor something is, and which of his.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// The number of a service or a backend; see [`super::super::address::Address`].
    pub owner: usize,
    /// Which of its descriptors.
    pub slot: DescriptorSlot,
}

/// A descriptor's text.
#[derive(Debug)]
pub struct Text<P> {
    /// Its revision counter (v2: its publication time).
    pub revision: u64,
    /// When it was made.
    pub made: Moment,
    /// Its introduction points.
    pub points: Rc<[P]>,
}

/// A descriptor as an HSDir keeps it.
#[derive(Debug)]
pub struct Kept<P> {
    /// What it keeps.
    pub text: Rc<Text<P>>,
    /// Until when.
    pub until: Moment,
    /// Since when it has had these introduction points.
    pub same_since: Moment,
}

/// What an HSDir says to an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Said {
    /// 200.
    Stored,
    /// 400.
    Refused,
    /// It did not get there.
    Failed,
    /// Nothing at all.
    Nothing,
}

/// What an HSDir gives who asks for a descriptor.
#[derive(Debug)]
pub enum Given<P> {
    /// The descriptor.
    Text(Rc<Text<P>>),
    /// 404.
    NotFound,
    /// Something else.
    Garbage,
    /// The request failed.
    Failed,
    /// No answer.
    Nothing,
}

/// One relay.
#[derive(Debug)]
pub struct Relay<P> {
    /// Its RSA identity.
    pub fingerprint: Fingerprint,
    /// Its ed25519 identity.
    pub identity: RelayIdentity,
    /// Whether it runs; one that has stopped never comes back.
    pub up: bool,
    /// How it behaves.
    pub manner: Manner,
    /// Since when it has been running and honest.
    pub fit_since: Moment,
    /// When it last lost something that it had said it stored.
    pub forgot_at: Option<Moment>,
    /// Sorted by their keys.
    kept: Vec<(Key, Kept<P>)>,
}

/// All relays that there ever were.
pub struct Relays<P> {
    all: Vec<Relay<P>>,
    by_fingerprint: HashMap<Fingerprint, RelayId>,
    /// Those that run.
    pub running: Vec<RelayId>,
}

impl<P> Relay<P> {
    /// Whether it runs and is honest.
    pub fn is_fit(&self) -> bool {
        self.up && self.manner == Manner::Honest
    }

    /// What it keeps under this name.
    pub fn kept(&self, key: Key, now: Moment) -> Option<&Kept<P>> {
        self.last(key).filter(|kept| kept.until > now)
    }

    /// What it keeps under this name, or kept until a short time ago.
    pub fn last(&self, key: Key) -> Option<&Kept<P>> {
        let place = self.kept.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.kept[place].1)
    }

    /// Takes an upload. `supersedes` says whether a revision may take the place of another; `tells` whether it would be
    /// refused otherwise, and not silently thrown away.
    pub fn store(
        &mut self,
        key: Key,
        text: &Rc<Text<P>>,
        (now, until): (Moment, Moment),
        supersedes: fn(u64, u64) -> bool,
        tells: bool,
    ) -> Said {
        match self.manner {
            _ if !self.up => return Said::Nothing,
            Manner::Silent => return Said::Nothing,
            Manner::Fails => return Said::Failed,
            Manner::Refuses => return Said::Refused,
            Manner::Discards => {
                if tells {
                    // Where an HSDir's word is believed, it takes until the renewal.
                    self.forgot_at = Some(now);
                }
                return Said::Stored;
            }
            Manner::Honest | Manner::Garbles => {}
        }
        let place = self.kept.binary_search_by_key(&key, |(key, _)| *key);
        let old = place.ok().map(|place| &self.kept[place].1).filter(|kept| kept.until > now);
        if old.is_some_and(|old| !supersedes(text.revision, old.text.revision)) {
            return if tells { Said::Refused } else { Said::Stored };
        }
        let same = old.filter(|old| Rc::ptr_eq(&old.text.points, &text.points));
        let same_since = same.map_or(now, |old| old.same_since);
        let kept = Kept { text: text.clone(), until, same_since };
        match place {
            Ok(place) => self.kept[place].1 = kept,
            Err(place) => self.kept.insert(place, (key, kept)),
        }
        Said::Stored
    }

    /// Answers who asks for a descriptor.
    pub fn give(&self, key: Key, now: Moment) -> Given<P> {
        match self.manner {
            _ if !self.up => Given::Failed,
            Manner::Silent => Given::Nothing,
            Manner::Fails => Given::Failed,
            Manner::Garbles => Given::Garbage,
            Manner::Honest | Manner::Refuses | Manner::Discards => {
                self.kept(key, now).map_or(Given::NotFound, |kept| Given::Text(kept.text.clone()))
            }
        }
    }

    /// Whether a client that asks gets this descriptor, and which.
    pub fn serves(&self, key: Key, now: Moment) -> Option<&Kept<P>> {
        let hands_out = matches!(self.manner, Manner::Honest | Manner::Refuses | Manner::Discards);
        self.kept(key, now).filter(|_| self.up && hands_out)
    }

    /// Loses everything, as by a restart.
    pub fn lose_everything(&mut self, now: Moment) {
        self.kept.clear();
        self.forgot_at = Some(now);
    }

    /// Behaves otherwise from now on.
    pub fn turn(&mut self, manner: Manner, now: Moment) {
        self.manner = manner;
        self.fit_since = now;
    }

    /// Throws away what has expired a while ago.
    pub fn clean(&mut self, now: Moment) {
        self.kept.retain(|(_, kept)| kept.until.after(EXPIRED) > now);
    }
}

impl<P> Relays<P> {
    /// So many relays, which have been running for long.
    pub fn new(count: usize, dice: &mut Dice) -> Self {
        let mut relays = Self { all: Vec::new(), by_fingerprint: HashMap::new(), running: Vec::new() };
        for _ in 0..count {
            relays.arrive(Moment::ZERO, dice);
        }
        relays
    }

    /// A relay begins to run.
    pub fn arrive(&mut self, now: Moment, dice: &mut Dice) {
        let (mut fingerprint, mut identity) = ([0; 20], [0; 32]);
        dice.fill_bytes(&mut fingerprint);
        dice.fill_bytes(&mut identity);
        let id = self.all.len();
        self.by_fingerprint.insert(Fingerprint(fingerprint), id);
        self.all.push(Relay {
            fingerprint: Fingerprint(fingerprint),
            identity: RelayIdentity(identity),
            up: true,
            manner: Manner::Honest,
            fit_since: now,
            forgot_at: None,
            kept: Vec::new(),
        });
        self.running.push(id);
    }

    /// One of those that run stops for good.
    pub fn depart(&mut self, dice: &mut Dice) {
        let id = self.running.swap_remove(dice.index(self.running.len()));
        self.all[id].up = false;
        self.all[id].kept = Vec::new();
    }

    /// The relay with this number.
    pub fn get(&self, id: RelayId) -> &Relay<P> {
        &self.all[id]
    }

    /// The relay with this number.
    pub fn get_mut(&mut self, id: RelayId) -> &mut Relay<P> {
        &mut self.all[id]
    }

    /// The number of the relay with this fingerprint.
    pub fn find(&self, fingerprint: Fingerprint) -> RelayId {
        self.by_fingerprint[&fingerprint]
    }

    /// Throws away what has expired at each.
    pub fn clean(&mut self, now: Moment) {
        for id in &self.running {
            self.all[*id].clean(now);
        }
    }
}

/// For how long it is remembered what has expired.
const EXPIRED: Duration = Duration::from_hours(1);
/// For how long HSDirs of version 3 keep a descriptor: what it says itself, and tor's always says this.
pub const KEPT_V3: Duration = Duration::from_hours(3);
/// For how long HSDirs of version 2 keep a descriptor (`REND_CACHE_MAX_AGE` and `REND_CACHE_MAX_SKEW`).
pub const KEPT_V2: Duration = Duration::from_hours(72);
