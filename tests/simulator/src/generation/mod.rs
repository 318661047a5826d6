//! What differs between the generations of onion services.

mod v2;
mod v3;

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{BackendView, DescriptorSlot, Point, Proof, Timing};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

pub use self::v2::V2;
pub use self::v3::V3;
use super::address::Address;
use super::dice::Dice;
use super::network::consensus::Consensus;
use super::network::relay::RelayId;

/// The number of an introduction point; none is used twice.
pub type PointId = u32;

/// Descriptors and where they belong.
pub type Places<Hsdir> = Vec<(DescriptorSlot, Vec<Hsdir>)>;

/// A generation of onion services: its introduction points, the balancer's own code for where descriptors belong, and the
/// rules by which everybody else in the network goes.
pub trait Generation: Point<Id = PointId> + std::fmt::Debug + 'static {
    /// The most points that a descriptor may list.
    const MAX_POINTS: usize;
    /// How many descriptors of a service there are at most at a time.
    const DESCRIPTORS: usize;
    /// On how many HSDirs they are, all together.
    const HSDIRS: usize;
    /// What it takes to believe an HSDir.
    const PROOF: Proof;
    /// For how long an HSDir keeps a descriptor.
    const KEPT: Duration;
    /// Whether an HSDir says so when it does not take a descriptor, because it has a newer one.
    const TELLS: bool;
    /// By how much later than it was made the balancer may take a descriptor to have been made.
    const ROUNDING: Duration;
    /// Whether it depends on the wall clock where clients look.
    const BY_THE_CLOCK: bool;

    /// The balancer's idea of where descriptors belong.
    type Directory;

    /// A point at a relay.
    fn new(id: PointId, relay: Fingerprint) -> Self;

    /// The engine's timers.
    fn timing() -> Timing;

    /// What the balancer makes of a consensus.
    fn directory(consensus: &Consensus) -> Self::Directory;

    /// Where the balancer keeps a service's descriptors.
    fn published(directory: &Self::Directory, address: &mut Address, now: UnixTime) -> Places<Fingerprint>;

    /// Where the balancer looks for a backend's descriptor.
    fn backend(directory: &Self::Directory, address: &mut Address, now: UnixTime) -> BackendView;

    /// When the balancer has to think again of where an address's descriptors are, by its clock alone.
    fn changes_at(address: &Address, now: UnixTime) -> Option<UnixTime>;

    /// Where a service keeps its descriptors.
    fn kept(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Rc<Places<RelayId>>;

    /// Which of a service's descriptors clients look for.
    fn looked_for(consensus: &Consensus, address: &Address, now: UnixTime) -> Vec<DescriptorSlot>;

    /// Where clients look for them.
    fn sought(consensus: &Consensus, address: &mut Address, now: UnixTime) -> Places<RelayId>;

    /// Whether an HSDir takes a descriptor of revision `new` in the place of `old`.
    fn supersedes(new: u64, old: u64) -> bool;

    /// The revision of a descriptor that is made at `now`.
    fn revision(slot: DescriptorSlot, now: UnixTime) -> u64;

    /// When a descriptor says that it was made, that was made at `made` and is read at `now`.
    fn published_at(made: UnixTime, now: UnixTime) -> UnixTime;

    /// Whether the signer signs for this period by a clock that shows `now`.
    fn is_signed(address: &Address, slot: DescriptorSlot, now: UnixTime) -> bool;

    /// How soon after one publication tor makes the next, if nothing changes.
    fn republish(dice: &mut Dice) -> Duration;
}
