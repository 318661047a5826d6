//! Relays, and how they treat descriptors as HSDirs.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::tor::documents::microdesc::RelayIdentity;
use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;
use rustc_hash::FxHashMap;

use super::super::dice::Dice;
use super::super::time::Moment;
use super::cache::{Cache, Kept, Key, Text};

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
    /// Says so too, and hands out for good what it had before.
    Replays,
    /// Goes on to hand out what it had for a while after it has got something else.
    Lags,
    /// Hands out garbage.
    Garbles,
    /// Every request fails, and says so.
    Fails,
    /// Every circuit to it fails, of which tor tells nothing.
    Silent,
}

/// Every manner but the honest one.
pub const FAULTY: [Manner; 7] = [
    Manner::Refuses,
    Manner::Discards,
    Manner::Replays,
    Manner::Lags,
    Manner::Garbles,
    Manner::Fails,
    Manner::Silent,
];

/// For how long one that lags hands out what it had before.
const LAG: Duration = Duration::from_mins(20);

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
pub struct Relay {
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
    /// Whether the balancer's tor has no microdescriptor of it.
    pub is_missing: bool,
}

/// All relays that there ever were.
pub struct Relays<P> {
    all: Vec<Relay>,
    by_fingerprint: FxHashMap<Fingerprint, RelayId>,
    /// Those that run.
    pub running: Vec<RelayId>,
    cache: Cache<P>,
}

impl Relay {
    /// Whether it runs and is honest, and the balancer's tor knows it.
    pub fn is_fit(&self) -> bool {
        self.up && self.manner == Manner::Honest && !self.is_missing
    }

    /// Whether a circuit to it comes about.
    pub fn is_reached(&self) -> bool {
        self.up && self.manner != Manner::Silent
    }

    /// Behaves otherwise from now on.
    pub fn turn(&mut self, manner: Manner, now: Moment) {
        self.manner = manner;
        self.fit_since = now;
    }
}

impl<P> Relays<P> {
    /// So many relays, which have been running for long.
    pub fn new(count: usize, dice: &mut Dice) -> Self {
        let mut relays = Self {
            all: Vec::new(),
            by_fingerprint: FxHashMap::default(),
            running: Vec::new(),
            cache: Cache::default(),
        };
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
            is_missing: false,
        });
        self.running.push(id);
    }

    /// One of those that run stops for good.
    pub fn depart(&mut self, dice: &mut Dice) {
        let id = self.running.swap_remove(dice.index(self.running.len()));
        self.all[id].up = false;
        self.cache.clear(id);
    }

    /// The relay with this number.
    pub fn get(&self, id: RelayId) -> &Relay {
        &self.all[id]
    }

    /// The relay with this number.
    pub fn get_mut(&mut self, id: RelayId) -> &mut Relay {
        &mut self.all[id]
    }

    /// The number of the relay with this fingerprint.
    pub fn find(&self, fingerprint: Fingerprint) -> RelayId {
        self.by_fingerprint[&fingerprint]
    }

    /// What an HSDir keeps under this name, or kept until a short time ago.
    pub fn last(&self, id: RelayId, key: Key) -> Option<&Kept<P>> {
        self.cache.last(id, key)
    }

    /// What an HSDir keeps under this name.
    pub fn kept(&self, id: RelayId, key: Key, now: Moment) -> Option<&Kept<P>> {
        self.last(id, key).filter(|kept| kept.lasts(now))
    }

    /// Whether an HSDir keeps these very introduction points under this name: then it means nothing to anybody if it gets them
    /// again.
    pub fn has(&self, id: RelayId, key: Key, points: &Rc<[P]>, now: Moment) -> bool {
        self.kept(id, key, now).is_some_and(|kept| Rc::ptr_eq(&kept.text.points, points))
    }

    /// Uploads a descriptor to an HSDir. `supersedes` says whether a revision may take the place of another; `tells` whether
    /// it would be refused otherwise, and not silently thrown away.
    pub fn store(
        &mut self,
        id: RelayId,
        key: Key,
        text: &Rc<Text<P>>,
        (now, until): (Moment, Moment),
        supersedes: fn(u64, u64) -> bool,
        tells: bool,
    ) -> Said {
        let relay = &mut self.all[id];
        match relay.manner {
            _ if !relay.up => return Said::Nothing,
            Manner::Silent => return Said::Nothing,
            Manner::Fails => return Said::Failed,
            Manner::Refuses => return Said::Refused,
            Manner::Discards | Manner::Replays => {
                if tells {
                    // Where an HSDir's word is believed, it takes until the renewal.
                    relay.forgot_at = Some(now);
                }
                return Said::Stored;
            }
            Manner::Honest | Manner::Garbles | Manner::Lags => {}
        }
        let old = self.kept(id, key, now);
        if old.is_some_and(|old| !supersedes(text.revision, old.text.revision)) {
            return if tells { Said::Refused } else { Said::Stored };
        }
        let same = old.filter(|old| Rc::ptr_eq(&old.text.points, &text.points));
        let same_since = same.map_or(now, |old| old.same_since);
        let lags = self.all[id].manner == Manner::Lags;
        let lagging = old.filter(|_| lags).map(|old| (old.text.clone(), now.after(LAG)));
        self.cache.put(id, key, Kept { text: text.clone(), until, same_since, lagging });
        Said::Stored
    }

    /// Asks an HSDir for a descriptor.
    pub fn give(&self, id: RelayId, key: Key, now: Moment) -> Given<P> {
        let relay = &self.all[id];
        let kept = match relay.manner {
            _ if !relay.up => return Given::Failed,
            Manner::Silent => return Given::Nothing,
            Manner::Fails => return Given::Failed,
            Manner::Garbles => return Given::Garbage,
            Manner::Replays => self.last(id, key),
            Manner::Honest | Manner::Refuses | Manner::Discards | Manner::Lags => self.kept(id, key, now),
        };
        let Some(kept) = kept else { return Given::NotFound };
        let lags = |(_, until): &&(_, Moment)| relay.manner == Manner::Lags && *until > now;
        let text = kept.lagging.as_ref().filter(lags).map_or(&kept.text, |(old, _)| old);
        Given::Text(text.clone())
    }

    /// What a client gets, before it has expired, who asks an HSDir for a descriptor.
    pub fn serves(&self, id: RelayId, key: Key, now: Moment) -> Option<&Kept<P>> {
        let relay = &self.all[id];
        let hands_out = !matches!(relay.manner, Manner::Garbles | Manner::Fails | Manner::Silent);
        self.kept(id, key, now).filter(|_| relay.up && hands_out)
    }

    /// An HSDir loses everything, as by a restart.
    pub fn lose_everything(&mut self, id: RelayId, now: Moment) {
        self.cache.clear(id);
        self.all[id].forgot_at = Some(now);
    }

    /// An HSDir is short of memory, and drops the older half of what it keeps (tor: `hs_cache_handle_oom`).
    pub fn drop_oldest(&mut self, id: RelayId, now: Moment) {
        self.cache.drop_older_half(id);
        self.all[id].forgot_at = Some(now);
    }

    /// Throws away what has expired at each.
    pub fn clean(&mut self, now: Moment) {
        let all = &self.all;
        self.cache.clean(now, |id| all[id].manner == Manner::Replays);
    }
}
