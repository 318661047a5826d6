//! Version 2 for the runtime.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use onionbalance_proto::config::{InstanceV2, Tuning};
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::{self, MAX_POINTS};
use onionbalance_proto::v2::{OnionAddress, TimePeriod, period};

use super::backend::{self, BackendPoint};
use super::directory::{self, Directory};
use super::frontend::{self, FrontendError};
use super::schedule::{self, DescriptorTerm};
use crate::engine::{BackendView, DescriptorCopy, DescriptorSlot, Found, Point, Proof, Source, Timing};
use crate::network::{ClientLookup, Credential, DescriptorName, Documents, Lookup, Version};
use crate::onion_version::{
    self, ClientLine, DirectoryError, Frontend, OnionVersion, Order, Rings, SignError, Signed, parts_of_ring,
};
use crate::signer::SignerClient;
use crate::tor::documents::consensus::Lifetime;

/// Version 2 onion services.
#[derive(Clone, Copy, Debug)]
pub struct V2;

impl OnionVersion for V2 {
    type Address = OnionAddress;
    type Backend = InstanceV2;
    type Point = BackendPoint;
    type Term = DescriptorTerm;
    type Known = ();
    type Directory = Directory;
    type FrontendError = FrontendError;
    type DirectoryError = directory::DirectoryError;

    // An HSDir answers 200 also to descriptors that it discards (tor: `rend_cache_store_v2_desc_as_dir`).
    const VERSION: Version = Version::V2;
    const PROOF: Proof = Proof::ReadBack;
    const REPLICAS_DIFFER: bool = true;
    const UNPARSED: &'static str =
        "tor cannot parse it, or the backend authorizes its clients: then set its `auth`";

    fn timing(tuning: &Tuning) -> Timing {
        let timing = Timing::v2();
        let republish_to = tuning.upload_period.unwrap_or(timing.republish_to);
        Timing { republish_from: timing.republish_from.min(republish_to / 4 * 3), republish_to, ..timing }
    }

    fn max_points(tuning: &Tuning) -> usize {
        tuning.max_points_v2.unwrap_or(MAX_POINTS)
    }

    fn backend_address(backend: &InstanceV2) -> OnionAddress {
        backend.address
    }

    fn is_client(backend: &InstanceV2) -> bool {
        backend.auth.is_some()
    }

    fn client_line(address: &OnionAddress, backends: &[InstanceV2]) -> Option<ClientLine> {
        let cookie = frontend::client_cookie(backends)?.clone();
        Some(ClientLine { frontend: *address, cookie })
    }

    fn name(address: &OnionAddress, term: DescriptorTerm) -> DescriptorName {
        DescriptorName::V2 { address: *address, id: term.id(address) }
    }

    fn directory(documents: &Documents) -> Result<Directory, DirectoryError<Self::DirectoryError>> {
        let Documents::V2 { router_statuses, times } = documents else { return Err(DirectoryError::Version) };
        Ok(Directory::new(router_statuses.as_bytes(), times.each_ref().map(String::as_str))?)
    }

    fn open(
        backend: &InstanceV2,
        _: &Directory,
        text: &str,
        now: UnixTime,
    ) -> Result<DescriptorCopy<BackendPoint>, String> {
        let period = TimePeriod::at(now, &backend.address);
        backend::open(backend, period, text, now).map_err(|error| error.to_string())
    }

    fn open_own(
        frontend: &Frontend<Self>,
        term: DescriptorTerm,
        text: &str,
        _: UnixTime,
    ) -> Option<Found<<BackendPoint as Point>::Id>> {
        let cookie = frontend::client_cookie(&frontend.backends);
        let descriptor = document::open(text, &frontend.address, &[term.period], cookie).ok()?;
        let points = descriptor.points.iter().map(|point| (point.relay, point.service_key));
        Some(Found::Copy { revision: descriptor.published.0, points: points.collect() })
    }

    async fn sign(
        order: &Order<Self>,
        signer: &mut SignerClient,
        now: UnixTime,
    ) -> Result<Signed, SignError<FrontendError>> {
        let Order { frontend, term, sets, .. } = order;
        let Frontend { address, backends, .. } = &**frontend;
        let cookie = frontend::client_cookie(backends);
        let (mut texts, mut revision) = (Vec::with_capacity(sets.len()), 0);
        for points in sets {
            let request = frontend::compose(address, *term, points, cookie.is_some(), now);
            let text = signer.sign(request).await?.text;
            revision = frontend::check(&text, address, *term, points, cookie)
                .map_err(SignError::Frontend)?
                .published
                .0;
            texts.push(text);
        }
        Ok(Signed { texts, revision })
    }
}

impl Rings for Directory {
    fn places(&self, _: DescriptorSlot) -> HashMap<Fingerprint, f64> {
        parts_of_ring(self.ring().places())
    }
}

impl onion_version::Directory<V2> for Directory {
    fn lifetime(&self) -> &Lifetime {
        self.lifetime()
    }

    fn hsdirs(&self) -> usize {
        self.hsdirs()
    }

    fn missing(&self) -> usize {
        0
    }

    fn period_length(&self) -> Duration {
        Duration::from_secs(period::LENGTH)
    }

    fn period(&self, address: &OnionAddress, slot: DescriptorSlot) -> Range<UnixTime> {
        let period = TimePeriod(slot.period.try_into().unwrap_or(u32::MAX));
        period.start(address)..period.next().start(address)
    }

    fn published(
        &self,
        (): &mut (),
        address: &OnionAddress,
        now: UnixTime,
    ) -> Vec<(DescriptorSlot, Vec<Fingerprint>)> {
        self.store(address, now).into_iter().map(|(term, hsdirs)| (term.slot(), hsdirs)).collect()
    }

    fn term(&self, slot: DescriptorSlot) -> Option<DescriptorTerm> {
        DescriptorTerm::of_slot(slot)
    }

    fn lookup_own(&self, address: &OnionAddress, term: DescriptorTerm) -> Option<Lookup> {
        Some(lookup(address, term))
    }

    /// The HSDirs of both replicas, which hold the same introduction points.
    fn backend(&self, (): &mut (), backend: &InstanceV2, now: UnixTime) -> BackendView {
        let period = TimePeriod::at(now, &backend.address).0.into();
        let sources = if backend.auth.is_some() {
            vec![Source::Any]
        } else {
            let place = |(term, hsdirs): (DescriptorTerm, Vec<Fingerprint>)| {
                let replica = term.replica.into();
                hsdirs.into_iter().map(move |hsdir| Source::Hsdir { hsdir, replica })
            };
            self.fetch(&backend.address, now).into_iter().flat_map(place).collect()
        };
        BackendView { period, sources }
    }

    fn lookup(&self, backend: &InstanceV2, replica: u8, now: UnixTime) -> Option<Lookup> {
        let term = DescriptorTerm {
            period: TimePeriod::at(now, &backend.address),
            replica: replica.try_into().ok()?,
        };
        Some(lookup(&backend.address, term))
    }

    fn client_lookup(&self, backend: &InstanceV2, now: UnixTime) -> Option<ClientLookup> {
        let credential = Credential { address: backend.address, cookie: backend.auth.clone()? };
        let period = TimePeriod::at(now, &backend.address);
        let terms = [period, period.next(), period.previous()].map(DescriptorTerm::both);
        let ids = |term: &DescriptorTerm| schedule::ids(&backend.address, *term, backend.auth.as_ref());
        let ids = terms.as_flattened().iter().flat_map(ids).collect();
        Some(ClientLookup { credential, ids })
    }

    fn changes_at(&self, address: &OnionAddress, now: UnixTime) -> Option<UnixTime> {
        Some(schedule::changes_at(address, now))
    }
}

fn lookup(address: &OnionAddress, term: DescriptorTerm) -> Lookup {
    Lookup::V2 { address: *address, id: term.id(address) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onion_version::Directory as _;

    const ROUTER_STATUSES: &str = include_str!("../../tests/data/ns-all.txt");
    const TIMES: [&str; 3] = ["2026-11-22 07:53:20", "2026-11-22 07:53:40", "2026-11-22 07:54:00"];
    const NOW: UnixTime = UnixTime(1_795_334_036);

    fn directory() -> Directory {
        Directory::new(ROUTER_STATUSES.as_bytes(), TIMES).unwrap()
    }

    fn backend(auth: Option<&str>) -> InstanceV2 {
        let auth = auth.map(|auth| auth.parse().unwrap());
        InstanceV2 { auth, ..InstanceV2::new("lijeinqkg3odt3fl".parse().unwrap()) }
    }

    #[test]
    fn each_hsdir_is_asked_for_each_replica_that_it_is_responsible_for() {
        let address = backend(None).address;
        // On a ring of four, at least two HSDirs are responsible for both replicas.
        let four = directory().fetch(&address, NOW).map(|(_, hsdirs)| hsdirs).concat()[..4].to_vec();
        for directory in [directory(), Directory::of(*directory().lifetime(), four)] {
            let sources = directory.backend(&mut (), &backend(None), NOW).sources;
            let places = directory.fetch(&address, NOW).into_iter().flat_map(|(term, hsdirs)| {
                let id = term.id(&address);
                hsdirs.into_iter().map(move |hsdir| (hsdir, Some(Lookup::V2 { address, id })))
            });
            let asked = sources.iter().map(|source| match source {
                Source::Hsdir { hsdir, replica } => (*hsdir, directory.lookup(&backend(None), *replica, NOW)),
                Source::Any => panic!("nobody has to be authorized"),
            });
            assert_eq!(sources.len(), 6);
            assert!(asked.eq(places));
        }
        assert_eq!(directory().lookup(&backend(None), 2, NOW), None);
    }

    #[test]
    fn who_authorizes_clients_is_asked_by_tor_itself() {
        assert_eq!(directory().client_lookup(&backend(None), NOW), None);
        let backend = backend(Some("YWJjZGVmZ2hpamtsbW5vcA=="));
        assert_eq!(directory().backend(&mut (), &backend, NOW).sources, [Source::Any]);
        let ClientLookup { ids, .. } = directory().client_lookup(&backend, NOW).unwrap();
        // Three periods, two replicas, and the id with and without the cookie.
        assert_eq!(ids.len(), 12);
        assert!(ids.contains(&"kkj45bfm57jmgw5ryxr6zmszjje2tdey".parse().unwrap()));
        assert!(ids.contains(&"zr4d5f4wkptx2oxhp754uui3dm7grv6x".parse().unwrap()));
    }

    #[test]
    fn what_is_published_can_be_read_back() {
        let address = backend(None).address;
        for (slot, hsdirs) in directory().published(&mut (), &address, NOW) {
            assert_eq!(hsdirs.len(), 3);
            let term = directory().term(slot).unwrap();
            let DescriptorName::V2 { id, .. } = V2::name(&address, term) else {
                panic!("not of version 2");
            };
            assert_eq!(directory().lookup_own(&address, term), Some(Lookup::V2 { address, id }));
        }
    }

    #[test]
    fn the_upload_period_is_the_operators() {
        let tuning = |upload_period| Tuning { upload_period, ..Tuning::default() };
        let minutes = Duration::from_mins;
        let timing = V2::timing(&tuning(Some(minutes(20))));
        assert_eq!((timing.republish_from, timing.republish_to), (minutes(15), minutes(20)));
        assert_eq!(V2::timing(&tuning(None)), Timing::v2());
    }
}
