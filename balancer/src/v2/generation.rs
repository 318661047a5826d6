//! Version 2 as the runtime sees it.

use std::time::Duration;

use onionbalance_proto::config::{InstanceV2, Tuning};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::{self, MAX_POINTS};
use onionbalance_proto::v2::{OnionAddress, TimePeriod, period};
use onionbalance_proto::v3;

use super::backend::{self, BackendPoint};
use super::directory::Directory;
use super::frontend;
use super::schedule::{self, DescriptorTerm};
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

/// Version 2.
#[derive(Clone, Copy, Debug)]
pub struct V2;

impl Generation for V2 {
    type Address = OnionAddress;
    type Backend = InstanceV2;
    type Point = BackendPoint;
    type Term = DescriptorTerm;
    type Keys = ();
    type Directory = Directory;

    // An HSDir says 200 to descriptors that it throws away (`rend_cache_store_v2_desc_as_dir`).
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

    fn check_tor(version: TorVersion) -> Result<(), Unsuitable> {
        version.check_v2()
    }

    fn backend_address(backend: &InstanceV2) -> OnionAddress {
        backend.address
    }

    fn credential(backend: &InstanceV2) -> Option<Credential> {
        Some(Credential { address: backend.address, cookie: backend.auth.clone()? })
    }

    fn client_line(address: &OnionAddress, backends: &[InstanceV2]) -> Option<ClientLine> {
        let cookie = frontend::client_cookie(backends)?.clone();
        Some(ClientLine { frontend: *address, cookie })
    }

    async fn read_directory(tor: &Connection) -> Result<Directory, DirectoryError> {
        let [relays, valid_after, fresh_until, valid_until] = tor
            .get_info([
                InfoKey::RouterStatuses,
                InfoKey::ValidAfter,
                InfoKey::FreshUntil,
                InfoKey::ValidUntil,
            ])
            .await?;
        let read = move || Directory::new(relays.as_bytes(), [&valid_after, &fresh_until, &valid_until]);
        Ok(aside(read).await?)
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
        let points = descriptor.points.iter().map(|point| (Fingerprint(point.relay), point.service_key));
        Some(Found::Copy { revision: descriptor.published.0, points: points.collect() })
    }

    async fn sign(
        order: &Order<Self>,
        signer: &mut SignerClient,
        now: UnixTime,
    ) -> Result<Signed, SignError> {
        let Order { frontend, term, points, .. } = order;
        let Frontend { address, backends } = &**frontend;
        let cookie = frontend::client_cookie(backends);
        let text = signer.sign(frontend::compose(address, *term, points, cookie.is_some(), now)).await?.text;
        let descriptor = frontend::check(&text, address, *term, points, cookie)?;
        Ok(Signed { text, revision: descriptor.published.0 })
    }

    fn hs_address(_: &OnionAddress) -> Option<&v3::OnionAddress> {
        None
    }
}

impl generation::Directory<V2> for Directory {
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

    fn published(&self, (): &mut (), address: &OnionAddress, now: UnixTime) -> Vec<Published> {
        let published = |(term, hsdirs): (DescriptorTerm, _)| Published {
            slot: term.slot(),
            name: (&term.id(address)).into(),
            hsdirs,
        };
        self.store(address, now).into_iter().map(published).collect()
    }

    fn term(&self, slot: DescriptorSlot) -> Option<DescriptorTerm> {
        DescriptorTerm::of_slot(slot)
    }

    fn descriptor_id(&self, address: &OnionAddress, slot: DescriptorSlot) -> Option<DescriptorId> {
        Some((&DescriptorTerm::of_slot(slot)?.id(address)).into())
    }

    fn lookup_own(&self, address: &OnionAddress, slot: DescriptorSlot, tor: TorVersion) -> Option<Lookup> {
        Some(lookup(address, DescriptorTerm::of_slot(slot)?, tor))
    }

    /// The HSDirs of both replicas, which hold the same introduction points.
    fn backend(&self, (): &mut (), backend: &InstanceV2, now: UnixTime) -> BackendView {
        let period = TimePeriod::at(now, &backend.address).0.into();
        let sources = if backend.auth.is_some() {
            vec![Source::Any]
        } else {
            let places = self.fetch(&backend.address, now).map(|(_, hsdirs)| hsdirs);
            places.concat().into_iter().map(Source::Hsdir).collect()
        };
        BackendView { period, sources }
    }

    fn backend_ids(&self, (): &mut (), backend: &InstanceV2, now: UnixTime) -> Vec<DescriptorId> {
        let period = TimePeriod::at(now, &backend.address);
        let cookie = backend.auth.as_ref();
        let terms = [period, period.next(), period.previous()].map(DescriptorTerm::both);
        terms
            .as_flattened()
            .iter()
            .flat_map(|term| schedule::ids(&backend.address, *term, cookie))
            .map(|id| (&id).into())
            .collect()
    }

    /// Each HSDir is asked for the replica that it holds; one that holds both, for the first.
    fn lookups(
        &self,
        backend: &InstanceV2,
        from: &[Fingerprint],
        tor: TorVersion,
        now: UnixTime,
    ) -> Vec<(Lookup, Vec<Fingerprint>)> {
        let [(first, held), (second, _)] = self.fetch(&backend.address, now);
        let (from_first, from_second) = from.iter().partition(|hsdir| held.contains(hsdir));
        [(first, from_first), (second, from_second)]
            .into_iter()
            .filter(|(_, from): &(_, Vec<_>)| !from.is_empty())
            .map(|(term, from)| (lookup(&backend.address, term, tor), from))
            .collect()
    }

    fn changes_at(&self, address: &OnionAddress, now: UnixTime) -> Option<UnixTime> {
        Some(schedule::changes_at(address, now))
    }
}

/// By its id a descriptor is asked for once at each HSDir, without tor's retries and rate limits.
fn lookup(address: &OnionAddress, term: DescriptorTerm, tor: TorVersion) -> Lookup {
    if tor.fetches_v2_by_id() { Lookup::V2Id(term.id(address)) } else { Lookup::V2(*address) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Directory as _;

    const ROUTER_STATUSES: &str = include_str!("../../tests/data/ns-all.txt");
    const TIMES: [&str; 3] = ["2026-11-22 07:53:20", "2026-11-22 07:53:40", "2026-11-22 07:54:00"];
    const NOW: UnixTime = UnixTime(1_795_334_036);
    const TOR: TorVersion = TorVersion([0, 4, 5, 10]);
    const WITHOUT_LOOKUP_BY_ID: TorVersion = TorVersion([0, 4, 2, 8]);

    fn directory() -> Directory {
        Directory::new(ROUTER_STATUSES.as_bytes(), TIMES).unwrap()
    }

    fn backend(auth: Option<&str>) -> InstanceV2 {
        let auth = auth.map(|auth| auth.parse().unwrap());
        InstanceV2 { address: "lijeinqkg3odt3fl".parse().unwrap(), auth, name: None }
    }

    #[test]
    fn each_hsdir_is_asked_for_the_replica_that_it_holds() {
        let view = directory().backend(&mut (), &backend(None), NOW);
        let from: Vec<_> = view
            .sources
            .iter()
            .map(|source| match source {
                Source::Hsdir(hsdir) => *hsdir,
                Source::Any => panic!("nobody has to be authorized"),
            })
            .collect();
        assert_eq!(from.len(), 6);
        let [first, second] = directory().fetch(&backend(None).address, NOW);
        let lookups = directory().lookups(&backend(None), &from, TOR, NOW);
        let by_id = |term: DescriptorTerm| Lookup::V2Id(term.id(&backend(None).address));
        assert_eq!(lookups, [(by_id(first.0), from[..3].to_vec()), (by_id(second.0), from[3..].to_vec())]);

        let one = directory().lookups(&backend(None), &from[5..], TOR, NOW);
        assert_eq!(one, [(by_id(second.0), vec![from[5]])]);
        let by_address = directory().lookups(&backend(None), &from[..1], WITHOUT_LOOKUP_BY_ID, NOW);
        assert_eq!(by_address, [(Lookup::V2(backend(None).address), vec![from[0]])]);
    }

    #[test]
    fn who_authorizes_clients_is_asked_by_tor_itself() {
        let backend = backend(Some("YWJjZGVmZ2hpamtsbW5vcA=="));
        assert_eq!(directory().backend(&mut (), &backend, NOW).sources, [Source::Any]);
        // With the cookie in the id or without.
        assert_eq!(directory().backend_ids(&mut (), &backend, NOW).len(), 12);
    }

    #[test]
    fn a_real_event_names_a_known_descriptor() {
        let ids = directory().backend_ids(&mut (), &backend(None), NOW);
        assert_eq!(ids.len(), 6);
        assert!(ids.contains(&"kkj45bfm57jmgw5ryxr6zmszjje2tdey".into()));
        assert!(ids.contains(&"zr4d5f4wkptx2oxhp754uui3dm7grv6x".into()));
    }

    #[test]
    fn what_is_published_can_be_read_back() {
        let address = backend(None).address;
        for Published { slot, name, hsdirs } in directory().published(&mut (), &address, NOW) {
            assert_eq!(hsdirs.len(), 3);
            let id = directory().descriptor_id(&address, slot).unwrap();
            assert_eq!(name, id);
            let Some(Lookup::V2Id(looked_up)) = directory().lookup_own(&address, slot, TOR) else {
                panic!("not looked up by id");
            };
            assert_eq!(id, DescriptorId::from(&looked_up));
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
