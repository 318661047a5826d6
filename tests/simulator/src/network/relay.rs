//! Relays, and how they treat descriptors as HSDirs.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::Revision;
use onionbalance::tor::documents::microdesc::RelayIdentity;
use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;
use rustc_hash::FxHashMap;

use super::super::dice::Dice;
use super::super::time::Moment;
use super::cache::{Cache, InSlot, Kept, Key, Text};
use super::id::RelayId;

/// The behaviour of a relay as an HSDir.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Correct behaviour.
    Honest,
    /// Answers 400 to every upload; hands out what it has.
    Refuses,
    /// Acknowledges descriptors that it discards.
    Discards,
    /// Acknowledges descriptors that it discards, and hands out for good what it had before.
    Replays,
    /// Goes on handing out the earlier descriptor for a while after it has got another one.
    Lags,
    /// Hands out garbage.
    Garbles,
    /// Every request fails, and the failure is reported.
    Fails,
    /// Every circuit to it fails, and tor reports nothing.
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

/// The time for which a lagging relay hands out the earlier descriptor.
const LAG: Duration = Duration::from_mins(20);

/// The answer of an HSDir to an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Said {
    /// The status 200.
    Stored,
    /// The status 400.
    Refused,
    /// The upload did not reach the HSDir.
    Failed,
    /// There is no answer.
    Nothing,
}

/// The answer of an HSDir to a fetch.
#[derive(Debug)]
pub enum Given<P> {
    /// The descriptor's text.
    Text(Rc<Text<P>>),
    /// The status 404.
    NotFound,
    /// A text that is not the descriptor.
    Garbage,
    /// The request failed.
    Failed,
    /// There is no answer.
    Nothing,
}

/// The state of one relay.
#[derive(Debug)]
pub struct Relay {
    /// The RSA identity.
    pub fingerprint: Fingerprint,
    /// The ed25519 identity.
    pub identity: RelayIdentity,
    /// True if it runs; one that has stopped never comes back.
    pub up: bool,
    /// How it behaves.
    pub manner: Manner,
    /// The time since which it has been running and honest.
    pub fit_since: Moment,
    /// The last time at which it lost a descriptor that it had acknowledged.
    pub forgot_at: Option<Moment>,
    /// True if the balancer's tor has no microdescriptor of it.
    pub is_missing: bool,
}

/// All relays that have ever existed.
pub struct Relays<P> {
    all: Vec<Relay>,
    /// By the first bytes of their fingerprints, which are random, and faster to find than all of one.
    by_fingerprint: FxHashMap<u64, RelayId>,
    /// The relays that run.
    pub running: Vec<RelayId>,
    cache: Cache<P>,
}

impl Relay {
    /// True if it runs, is honest, and is known to the balancer's tor.
    pub fn is_fit(&self) -> bool {
        self.up && self.manner == Manner::Honest && !self.is_missing
    }

    /// True if circuits reach it.
    pub fn is_reached(&self) -> bool {
        self.up && self.manner != Manner::Silent
    }

    /// Changes its behaviour.
    pub fn turn(&mut self, manner: Manner, now: Moment) {
        self.manner = manner;
        self.fit_since = now;
    }
}

impl<P> Relays<P> {
    /// This number of relays, which have been running for long.
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

    /// Starts a new relay.
    pub fn arrive(&mut self, now: Moment, dice: &mut Dice) {
        let (mut fingerprint, mut identity) = ([0; 20], [0; 32]);
        dice.fill_bytes(&mut fingerprint);
        dice.fill_bytes(&mut identity);
        let id = self.all.len();
        let twin = self.by_fingerprint.insert(beginning(Fingerprint(fingerprint)), id);
        assert_eq!(twin, None, "no two of 2^64 are equal");
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

    /// Stops one of the running relays for good.
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
        self.by_fingerprint[&beginning(fingerprint)]
    }

    /// The descriptor that an HSDir keeps under this name, or kept until a short time ago.
    pub fn last(&self, id: RelayId, key: Key) -> Option<&Kept<P>> {
        self.cache.last(id, key)
    }

    /// The descriptors under this name, to find those of several HSDirs; `None` if no HSDir keeps one.
    pub fn in_slot(&self, key: Key) -> Option<&InSlot<P>> {
        self.cache.in_slot(key)
    }

    /// The descriptor that an HSDir keeps under this name.
    pub fn kept(&self, id: RelayId, key: Key, now: Moment) -> Option<&Kept<P>> {
        self.last(id, key).filter(|kept| kept.lasts(now))
    }

    /// True if an HSDir keeps exactly these introduction points under this name: then it does not matter if
    /// it gets them again.
    pub fn has(&self, id: RelayId, key: Key, points: &Rc<[P]>, now: Moment) -> bool {
        self.kept(id, key, now).is_some_and(|kept| Rc::ptr_eq(&kept.text.points, points))
    }

    /// True if an HSDir keeps an earlier revision than this one, which was given before.
    pub fn is_below(&self, id: RelayId, key: Key, revision: Revision, now: Moment) -> bool {
        let kept = self.kept(id, key, now).map(|kept| kept.text.revision);
        matches!((kept, revision), (Some(kept), Revision::Kept(given)) if kept < given)
    }

    /// Uploads a descriptor to an HSDir. `supersedes` is true if a revision may take the place of another;
    /// `tells` is true if the HSDir refuses openly otherwise, and does not discard silently.
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
                    // If acknowledgements are believed, the loss lasts until the renewal.
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

    /// The descriptor that a client gets from an HSDir, unless it has expired.
    pub fn serves(&self, id: RelayId, key: Key, now: Moment) -> Option<&Kept<P>> {
        let relay = &self.all[id];
        let hands_out = !matches!(relay.manner, Manner::Garbles | Manner::Fails | Manner::Silent);
        self.kept(id, key, now).filter(|_| relay.up && hands_out)
    }

    /// Has an HSDir lose everything, as by a restart.
    pub fn lose_everything(&mut self, id: RelayId, now: Moment) {
        self.cache.clear(id);
        self.all[id].forgot_at = Some(now);
    }

    /// Has an HSDir drop the older half of what it keeps, as for lack of memory (tor: `hs_cache_handle_oom`).
    pub fn drop_oldest(&mut self, id: RelayId, now: Moment) {
        self.cache.drop_older_half(id);
        self.all[id].forgot_at = Some(now);
    }

    /// Removes expired descriptors at each HSDir.
    pub fn clean(&mut self, now: Moment) {
        let all = &self.all;
        self.cache.clean(now, |id| all[id].manner == Manner::Replays);
    }
}

fn beginning(Fingerprint(bytes): Fingerprint) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("20 bytes"))
}
