//! Version 3 for the runtime.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use onionbalance_proto::config::Tuning;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::{self, MAX_POINTS, PeriodKeys};
use onionbalance_proto::v3::{BlindedKey, OnionAddress, TimePeriod};

use super::backend::{self, BackendPoint, PointId};
use super::directory::{self, Directory};
use super::frontend::{self, FrontendError};
use super::known_replicas::KnownReplicas;
use super::schedule::{DescriptorTerm, Which};
use crate::engine::{BackendView, DescriptorCopy, DescriptorSlot, Found, Point, Proof, Source, Timing};
use crate::network::{ClientLookup, DescriptorName, Documents, Lookup, Version};
use crate::onion_version::{
    self, ClientLine, DirectoryError, Frontend, OnionVersion, Order, Rings, SignError, Signed, parts_of_ring,
};
use crate::signer::SignerClient;
use crate::tor::documents::consensus::Lifetime;

/// Version 3 onion services.
#[derive(Clone, Copy, Debug)]
pub struct V3;

impl OnionVersion for V3 {
    type Address = OnionAddress;
    type Backend = OnionAddress;
    type Point = BackendPoint;
    type Term = DescriptorTerm;
    type Known = KnownReplicas;
    type Directory = Directory;
    type FrontendError = FrontendError;
    type DirectoryError = directory::DirectoryError;

    const VERSION: Version = Version::V3;
    const PROOF: Proof = Proof::Word;
    const REPLICAS_DIFFER: bool = false;
    const UNPARSED: &'static str = "tor cannot parse it";

    fn timing(_: &Tuning) -> Timing {
        Timing::default()
    }

    fn max_points(_: &Tuning) -> usize {
        MAX_POINTS
    }

    fn backend_address(backend: &OnionAddress) -> OnionAddress {
        *backend
    }

    fn is_client(_: &OnionAddress) -> bool {
        false
    }

    fn client_line(_: &OnionAddress, _: &[OnionAddress]) -> Option<ClientLine> {
        None
    }

    fn name(address: &OnionAddress, term: DescriptorTerm) -> DescriptorName {
        DescriptorName::V3 { address: *address, key: BlindedKey::derive(address, term.period) }
    }

    fn directory(documents: &Documents) -> Result<Directory, DirectoryError<Self::DirectoryError>> {
        let Documents::V3 { consensus, microdescriptors, is_testing } = documents else {
            return Err(DirectoryError::Version);
        };
        Ok(Directory::new(consensus, microdescriptors, *is_testing)?)
    }

    fn open(
        backend: &OnionAddress,
        directory: &Directory,
        text: &str,
        now: UnixTime,
    ) -> Result<DescriptorCopy<BackendPoint>, String> {
        let period = directory.schedule().fetched_term().period;
        backend::open(backend, period, text, now).map_err(|error| error.to_string())
    }

    fn open_own(
        frontend: &Frontend<Self>,
        term: DescriptorTerm,
        text: &str,
        now: UnixTime,
    ) -> Option<Found<<BackendPoint as Point>::Id>> {
        let descriptor =
            document::open(text, &PeriodKeys::derive(&frontend.address, term.period), now).ok()?;
        let points = descriptor.inner.points.iter().map(PointId::from);
        Some(Found::Copy { revision: descriptor.revision, points: points.collect() })
    }

    async fn sign(
        order: &Order<Self>,
        signer: &mut SignerClient,
        now: UnixTime,
    ) -> Result<Signed, SignError<FrontendError>> {
        let Order { frontend, term, sets, revision_floor } = order;
        let address = &frontend.address;
        let reply = signer.sign(frontend::compose(address, term, sets, *revision_floor)).await?;
        frontend::check(&reply.texts, address, term, sets, now).map_err(SignError::Frontend)?;
        Ok(Signed { texts: reply.texts, revision: reply.revision })
    }
}

impl Rings for Directory {
    fn places(&self, slot: DescriptorSlot) -> HashMap<Fingerprint, f64> {
        let which = self.both().into_iter().find(|(_, term)| term.slot() == slot);
        which.map(|(which, _)| parts_of_ring(self.ring(which).places())).unwrap_or_default()
    }
}

impl onion_version::Directory<V3> for Directory {
    fn lifetime(&self) -> &Lifetime {
        self.lifetime()
    }

    fn hsdirs(&self) -> usize {
        self.hsdirs()
    }

    fn missing(&self) -> usize {
        self.missing()
    }

    fn period_length(&self) -> Duration {
        Duration::from_secs(self.schedule().first.period.length.seconds())
    }

    fn period(&self, _: &OnionAddress, slot: DescriptorSlot) -> Range<UnixTime> {
        let schedule = self.schedule();
        let period = TimePeriod { number: slot.period, ..schedule.first.period };
        period.start(schedule.offset_minutes)..period.next().start(schedule.offset_minutes)
    }

    fn published(
        &self,
        known: &mut KnownReplicas,
        address: &OnionAddress,
        _: UnixTime,
    ) -> Vec<(DescriptorSlot, Vec<Fingerprint>)> {
        let published = |(which, term): (Which, DescriptorTerm)| {
            let replicas = known.replicas(address, term.period, self.parameters().replicas);
            (term.slot(), self.holders(which, replicas))
        };
        self.both().map(published).into()
    }

    fn term(&self, slot: DescriptorSlot) -> Option<DescriptorTerm> {
        let schedule = self.schedule();
        [schedule.first, schedule.second].into_iter().find(|term| term.slot() == slot)
    }

    /// Tor fetches a descriptor of the clients' current period only.
    fn lookup_own(&self, address: &OnionAddress, term: DescriptorTerm) -> Option<Lookup> {
        (self.schedule().fetched_term().period == term.period).then_some(Lookup::V3(*address))
    }

    fn backend(&self, known: &mut KnownReplicas, backend: &OnionAddress, _: UnixTime) -> BackendView {
        let (which, term) = (self.schedule().fetched, self.schedule().fetched_term());
        let replicas = known.replicas(backend, term.period, self.parameters().replicas);
        let hsdirs = self.holders(which, replicas);
        let sources = hsdirs.into_iter().map(|hsdir| Source::Hsdir { hsdir, replica: 0 });
        BackendView { period: term.period.number, sources: sources.collect() }
    }

    fn lookup(&self, backend: &OnionAddress, _: u8, _: UnixTime) -> Option<Lookup> {
        Some(Lookup::V3(*backend))
    }

    fn client_lookup(&self, _: &OnionAddress, _: UnixTime) -> Option<ClientLookup> {
        None
    }

    fn changes_at(&self, _: &OnionAddress, _: UnixTime) -> Option<UnixTime> {
        None
    }
}
