//! Version 2 onion services.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{BackendView, DescriptorSlot, Point, Proof, Source, Timing};
use onionbalance::v2::directory::Directory;
use onionbalance::v2::schedule::{self, DescriptorTerm};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::{DescriptorId, Replica, SecretIdPart, TimePeriod};

use super::super::address::{Address, Places};
use super::super::dice::Dice;
use super::super::network::cache::KEPT_V2;
use super::super::network::calendar::Calendar;
use super::super::network::consensus::Consensus;
use super::super::network::id::RelayId;
use super::{OnionVersion, PointId};

/// An introduction point of version 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct V2 {
    id: PointId,
    relay: Fingerprint,
}

impl Point for V2 {
    type Id = PointId;

    const FAILED_IS_STRUCK_OFF: bool = true;

    fn id(&self) -> PointId {
        self.id
    }

    fn relay(&self) -> Fingerprint {
        self.relay
    }
}

impl OnionVersion for V2 {
    const MAX_POINTS: usize = 10;
    const DESCRIPTORS: usize = 4;
    const HSDIRS: usize = 12;
    const PROOF: Proof = Proof::ReadBack;
    const KEPT: Duration = KEPT_V2;
    const TELLS: bool = false;
    const ROUNDING: Duration = Duration::ZERO;
    const BY_THE_CLOCK: bool = true;

    type Directory = Directory;

    fn new(id: PointId, relay: Fingerprint) -> Self {
        Self { id, relay }
    }

    fn timing() -> Timing {
        Timing::v2()
    }

    fn directory(consensus: &Consensus) -> Directory {
        let hsdirs = consensus.identities.iter().map(|(fingerprint, _)| *fingerprint).collect();
        Directory::of(consensus.read().lifetime, hsdirs)
    }

    fn published(directory: &Directory, address: &mut Address, now: UnixTime) -> Places<Fingerprint> {
        let stored = directory.store(&address.v2, now).into_iter();
        stored.map(|(term, hsdirs)| (term.slot(), hsdirs)).collect()
    }

    fn backend(directory: &Directory, address: &mut Address, now: UnixTime) -> BackendView {
        let period = TimePeriod::at(now, &address.v2).0.into();
        let place = |(term, hsdirs): (DescriptorTerm, Vec<Fingerprint>)| {
            let replica = term.replica.into();
            hsdirs.into_iter().map(move |hsdir| Source::Hsdir { hsdir, replica })
        };
        BackendView {
            period,
            sources: directory.fetch(&address.v2, now).into_iter().flat_map(place).collect(),
        }
    }

    fn changes_at(address: &Address, now: UnixTime) -> Option<UnixTime> {
        Some(schedule::changes_at(&address.v2, now))
    }

    fn kept(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Rc<Places<RelayId>> {
        let period = period(address, now);
        let mut places = both(consensus, address, period);
        if self::period(address, now.plus(3600)) != period {
            places.extend(both(consensus, address, period + 1));
        }
        Rc::new(places)
    }

    fn looked_for(
        _: &Consensus,
        address: &Address,
        now: UnixTime,
    ) -> impl Iterator<Item = DescriptorSlot> + Clone + use<> {
        let period = period(address, now);
        [0, 1].map(|replica| DescriptorSlot { period, replica }).into_iter()
    }

    fn sought(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Places<RelayId> {
        both(consensus, address, period(address, now))
    }

    fn supersedes(new: u64, old: u64) -> bool {
        new >= old
    }

    /// The publication time, to the hour.
    fn revision(_: DescriptorSlot, _: Calendar, now: UnixTime) -> u64 {
        now.0 / 3600 * 3600
    }

    fn published_at(made: UnixTime, _: UnixTime) -> UnixTime {
        UnixTime(made.0 / 3600 * 3600)
    }

    fn is_signed(address: &Address, slot: DescriptorSlot, _: Calendar, now: UnixTime) -> bool {
        [now, now.plus(3600)].map(|now| period(address, now)).contains(&slot.period)
    }

    fn republish(_: &mut Dice) -> Duration {
        Duration::from_hours(1)
    }
}

/// The number of the service's period. Periods begin at a time of day that depends on the service.
fn period(address: &Address, now: UnixTime) -> u64 {
    (now.0 + u64::from(address.v2.permanent_id()[0]) * DAY / 256) / DAY
}

/// Both replicas of a period.
fn both(consensus: &Consensus, address: &Address, period: u64) -> Places<RelayId> {
    let place = |replica: Replica| {
        let number = TimePeriod(u32::try_from(period).expect("in this century"));
        let id = DescriptorId::derive(&address.v2, SecretIdPart::derive(number, replica, None));
        (DescriptorSlot { period, replica: replica.into() }, consensus.rings.v2(id.as_bytes()))
    };
    Replica::ALL.map(place).into()
}

const DAY: u64 = 86_400;
