//! Version 3 onion services.

use std::iter;
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{BackendView, DescriptorSlot, Point, Proof, Source, Timing};
use onionbalance::v3::directory::Directory;
use onionbalance::v3::schedule::{DescriptorTerm, Which};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::super::address::{Address, Places};
use super::super::dice::Dice;
use super::super::network::cache::KEPT_V3;
use super::super::network::calendar::Calendar;
use super::super::network::consensus::Consensus;
use super::super::network::id::RelayId;
use super::{OnionVersion, PointId};

/// An introduction point of version 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct V3 {
    id: PointId,
    relay: Fingerprint,
}

impl Point for V3 {
    type Id = PointId;

    const FAILED_IS_STRUCK_OFF: bool = false;

    fn id(&self) -> PointId {
        self.id
    }

    fn relay(&self) -> Fingerprint {
        self.relay
    }
}

impl OnionVersion for V3 {
    const MAX_POINTS: usize = 20;
    const DESCRIPTORS: usize = 2;
    const HSDIRS: usize = 16;
    const PROOF: Proof = Proof::Word;
    const KEPT: Duration = KEPT_V3;
    const TELLS: bool = true;
    const ROUNDING: Duration = Duration::from_hours(1);
    const BY_THE_CLOCK: bool = false;

    type Directory = Directory;

    fn new(id: PointId, relay: Fingerprint) -> Self {
        Self { id, relay }
    }

    fn timing() -> Timing {
        Timing::default()
    }

    fn directory(consensus: &Consensus) -> Directory {
        Directory::of(&consensus.read(), &consensus.identities, consensus.calendar.is_testing())
            .expect("periods that tor knows")
    }

    fn published(directory: &Directory, address: &mut Address, _: UnixTime) -> Places<Fingerprint> {
        let place = |(which, term): (Which, DescriptorTerm)| {
            (term.slot(), directory.holders(which, address.replicas(term.period)))
        };
        directory.both().map(place).into()
    }

    fn backend(directory: &Directory, address: &mut Address, _: UnixTime) -> BackendView {
        let period = directory.schedule().fetched_term().period;
        let hsdirs = directory.holders(directory.schedule().fetched, address.replicas(period));
        let sources = hsdirs.into_iter().map(|hsdir| Source::Hsdir { hsdir, replica: 0 });
        BackendView { period: period.number, sources: sources.collect() }
    }

    fn changes_at(_: &Address, _: UnixTime) -> Option<UnixTime> {
        None
    }

    fn kept(consensus: &Consensus, address: &mut Address, _: UnixTime) -> Rc<Places<RelayId>> {
        address.places(consensus.number, |address| {
            let place = |period| {
                let indices = address.indices(period, consensus.calendar);
                (DescriptorSlot { period, replica: 0 }, consensus.rings.v3(period, &indices, 4))
            };
            consensus.rings.periods().map(place).into()
        })
    }

    fn looked_for(
        consensus: &Consensus,
        _: &Address,
        _: UnixTime,
    ) -> impl Iterator<Item = DescriptorSlot> + Clone + use<> {
        iter::once(DescriptorSlot { period: consensus.rings.sought_period(), replica: 0 })
    }

    fn sought(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Places<RelayId> {
        let period = consensus.rings.sought_period();
        let kept = Self::kept(consensus, address, now);
        let stored = kept.iter().filter(|(slot, _)| slot.period == period).flat_map(|(_, stored)| stored);
        let stored: Vec<RelayId> = stored.copied().collect();
        // Three of the four HSDirs of each replica.
        let asked = stored.chunks(4).flat_map(|replica| &replica[..replica.len().min(3)]).copied().collect();
        vec![(DescriptorSlot { period, replica: 0 }, asked)]
    }

    fn supersedes(new: u64, old: u64) -> bool {
        new > old
    }

    /// A revision like that of tor's order-preserving encryption. It grows by about this much a second, from
    /// the start of the shared-random run to which the period's first descriptor belongs. Its steps are
    /// random, so that hours differ in length.
    fn revision(slot: DescriptorSlot, calendar: Calendar, now: UnixTime) -> u64 {
        let seconds = now.since(UnixTime(slot.period * calendar.period_secs())).clamp(1, 1 << 22);
        let (block, into) = (seconds / BLOCK, seconds % BLOCK);
        let ahead = |block: u64| Dice(slot.period << 32 | block).below(DEVIATION * BLOCK);
        PER_SECOND * seconds + (ahead(block) * (BLOCK - into) + ahead(block + 1) * into) / BLOCK
    }

    /// The end of the certificate that tells the time is a whole hour, rounded up.
    fn published_at(made: UnixTime, now: UnixTime) -> UnixTime {
        UnixTime(made.0.next_multiple_of(3600)).min(now)
    }

    fn is_signed(_: &Address, slot: DescriptorSlot, calendar: Calendar, now: UnixTime) -> bool {
        let length = calendar.period_secs();
        let present = now.minus(length / 2).0 / length;
        (present.saturating_sub(2)..=present + 1).contains(&slot.period)
    }

    fn republish(dice: &mut Dice) -> Duration {
        dice.between(Duration::from_hours(1), Duration::from_hours(2))
    }
}

/// The mean growth of a revision counter in a second.
const PER_SECOND: u64 = 32_768;
/// The seconds that grow at one rate.
const BLOCK: u64 = 600;
/// The deviation of that rate from the mean: about that of the sum of as many random steps of 1 to 65536.
const DEVIATION: u64 = 1337;
