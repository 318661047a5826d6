//! Version 3 as the runtime sees it.

use std::time::Duration;

use onionbalance_proto::config::Tuning;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::{self, MAX_POINTS, PeriodKeys};
use onionbalance_proto::v3::{BlindedKey, OnionAddress};

use super::backend::{self, BackendPoint};
use super::directory::Directory;
use super::frontend;
use super::keys::BlindedKeys;
use super::schedule::{DescriptorTerm, Which};
use crate::aside::aside;
use crate::engine::{BackendView, DescriptorCopy, DescriptorSlot, Found, Point, Proof, Source, Timing};
use crate::generation::{
    self, ClientLine, Credential, DirectoryError, Frontend, Generation, Order, Published, SignError, Signed,
};
use crate::relay::Fingerprint;
use crate::signer::SignerClient;
use crate::tor::documents::consensus::Lifetime;
use crate::tor::event::DescriptorId;
use crate::tor::hsdir::Lookup;
use crate::tor::{Connection, InfoKey, TorVersion, Unsuitable};

/// Version 3.
#[derive(Clone, Copy, Debug)]
pub struct V3;

impl Generation for V3 {
    type Address = OnionAddress;
    type Backend = OnionAddress;
    type Point = BackendPoint;
    type Term = DescriptorTerm;
    type Keys = BlindedKeys;
    type Directory = Directory;

    const PROOF: Proof = Proof::Word;
    const REPLICAS_DIFFER: bool = false;
    const UNPARSED: &'static str = "tor cannot parse it";

    fn timing(_: &Tuning) -> Timing {
        Timing::default()
    }

    fn max_points(_: &Tuning) -> usize {
        MAX_POINTS
    }

    fn check_tor(version: TorVersion) -> Result<(), Unsuitable> {
        version.check_v3()
    }

    fn backend_address(backend: &OnionAddress) -> OnionAddress {
        *backend
    }

    fn credential(_: &OnionAddress) -> Option<Credential> {
        None
    }

    fn client_line(_: &OnionAddress, _: &[OnionAddress]) -> Option<ClientLine> {
        None
    }

    async fn read_directory(tor: &Connection) -> Result<Directory, DirectoryError> {
        let testing = tor.is_testing_network().await?;
        let [consensus, microdescriptors] =
            tor.get_info([InfoKey::Consensus, InfoKey::Microdescriptors]).await?;
        let read = move || Directory::new(consensus.as_bytes(), microdescriptors.as_bytes(), testing);
        Ok(aside(read).await?)
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
        let points = descriptor.inner.points.iter().map(|point| (point.auth_key, point.enc_key));
        Some(Found::Copy { revision: descriptor.revision, points: points.collect() })
    }

    async fn sign(
        order: &Order<Self>,
        signer: &mut SignerClient,
        now: UnixTime,
    ) -> Result<Signed, SignError> {
        let Order { frontend, term, points, revision_floor } = order;
        let address = &frontend.address;
        let reply = signer.sign(frontend::compose(address, term, points, *revision_floor)).await?;
        let text = reply.texts.into_iter().next().ok_or(SignError::NoText)?;
        frontend::check(&text, address, term, points, now)?;
        Ok(Signed { text, revision: reply.revision })
    }

    fn hs_address(address: &OnionAddress) -> Option<&OnionAddress> {
        Some(address)
    }
}

impl generation::Directory<V3> for Directory {
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

    fn published(&self, keys: &mut BlindedKeys, address: &OnionAddress, _: UnixTime) -> Vec<Published> {
        let published = |(which, term): (Which, DescriptorTerm)| {
            let blinded = keys.get(address, term.period);
            Published { slot: term.slot(), name: blinded.into(), hsdirs: self.responsible(which, blinded) }
        };
        self.both().map(published).into()
    }

    fn term(&self, slot: DescriptorSlot) -> Option<DescriptorTerm> {
        let schedule = self.schedule();
        [schedule.first, schedule.second].into_iter().find(|term| term.slot() == slot)
    }

    fn descriptor_id(&self, address: &OnionAddress, slot: DescriptorSlot) -> Option<DescriptorId> {
        Some((&BlindedKey::derive(address, self.term(slot)?.period)).into())
    }

    /// Tor fetches a descriptor of the clients' current period only.
    fn lookup_own(&self, address: &OnionAddress, slot: DescriptorSlot, _: TorVersion) -> Option<Lookup> {
        (self.schedule().fetched_term().slot() == slot).then_some(Lookup::V3(*address))
    }

    fn backend(&self, keys: &mut BlindedKeys, backend: &OnionAddress, _: UnixTime) -> BackendView {
        let (which, term) = (self.schedule().fetched, self.schedule().fetched_term());
        let hsdirs = self.responsible(which, keys.get(backend, term.period));
        BackendView { period: term.period.number, sources: hsdirs.into_iter().map(Source::Hsdir).collect() }
    }

    fn backend_ids(&self, keys: &mut BlindedKeys, backend: &OnionAddress, _: UnixTime) -> Vec<DescriptorId> {
        let period = self.schedule().fetched_term().period;
        [period, period.next(), period.previous()].map(|period| keys.get(backend, period).into()).into()
    }

    fn lookups(
        &self,
        backend: &OnionAddress,
        from: &[Fingerprint],
        _: TorVersion,
        _: UnixTime,
    ) -> Vec<(Lookup, Vec<Fingerprint>)> {
        vec![(Lookup::V3(*backend), from.to_vec())]
    }

    fn changes_at(&self, _: &OnionAddress, _: UnixTime) -> Option<UnixTime> {
        None
    }
}
