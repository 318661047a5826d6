//! The differences between the versions of onion services.

mod v2;
mod v3;

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{BackendView, DescriptorSlot, Point, Proof, Timing};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

pub use self::v2::V2;
pub use self::v3::V3;
use super::address::{Address, Places};
use super::dice::Dice;
use super::network::calendar::Calendar;
use super::network::consensus::Consensus;
use super::network::id::RelayId;

/// The number of an introduction point; none is used twice.
pub type PointId = u32;

/// A version of onion services: its introduction points, the balancer's own code for the HSDirs of
/// descriptors, and the rules of everything else in the network.
pub trait OnionVersion: Point<Id = PointId> + std::fmt::Debug + 'static {
    /// The most points that a descriptor may list.
    const MAX_POINTS: usize;
    /// The most descriptors that a service has at a time.
    const DESCRIPTORS: usize;
    /// The number of HSDirs of these descriptors together.
    const HSDIRS: usize;
    /// The proof that is needed to believe that an HSDir has a descriptor.
    const PROOF: Proof;
    /// The time for which an HSDir keeps a descriptor.
    const KEPT: Duration;
    /// True if an HSDir refuses openly when it holds a newer descriptor.
    const TELLS: bool;
    /// The time by which the balancer may date a descriptor later than it was made.
    const ROUNDING: Duration;
    /// True if the wall clock determines where clients look.
    const BY_THE_CLOCK: bool;

    /// The HSDirs of descriptors by the balancer's own code.
    type Directory;

    /// The point `id` at a relay.
    fn new(id: PointId, relay: Fingerprint) -> Self;

    /// The engine's timers, for periods of a day.
    fn timing() -> Timing;

    /// The directory that the balancer makes of a consensus.
    fn directory(consensus: &Consensus) -> Self::Directory;

    /// The HSDirs to which the balancer publishes a service's descriptors.
    fn published(directory: &Self::Directory, address: &mut Address, now: UnixTime) -> Places<Fingerprint>;

    /// The sources at which the balancer looks for a backend's descriptor.
    fn backend(directory: &Self::Directory, address: &mut Address, now: UnixTime) -> BackendView;

    /// The next time at which, by its clock alone, the balancer has to compute an address's HSDirs again.
    fn changes_at(address: &Address, now: UnixTime) -> Option<UnixTime>;

    /// The HSDirs on which a service's descriptors belong.
    fn kept(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Rc<Places<RelayId>>;

    /// The descriptors of a service that clients look for.
    fn looked_for(
        consensus: &Consensus,
        address: &Address,
        now: UnixTime,
    ) -> impl Iterator<Item = DescriptorSlot> + Clone + use<Self>;

    /// The HSDirs at which clients look for them.
    fn sought(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Places<RelayId>;

    /// True if an HSDir takes a descriptor of revision `new` in the place of one of revision `old`.
    fn supersedes(new: u64, old: u64) -> bool;

    /// The revision of a descriptor that is made at `now`.
    fn revision(slot: DescriptorSlot, calendar: Calendar, now: UnixTime) -> u64;

    /// The time in a descriptor that was made at `made`, as a reader at `now` takes it.
    fn published_at(made: UnixTime, now: UnixTime) -> UnixTime;

    /// True if the signer signs for this period while its clock shows `now`.
    fn is_signed(address: &Address, slot: DescriptorSlot, calendar: Calendar, now: UnixTime) -> bool;

    /// The time between two publications by tor if nothing changes.
    fn republish(dice: &mut Dice) -> Duration;
}
