//! An observer that fetches descriptors from every HSDir.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use onionbalance::v2::directory::Directory;
use onionbalance::v2::schedule::DescriptorTerm;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::document::{self, Descriptor};
use onionbalance_proto::v2::{OnionAddress, TimePeriod};
use onionbalance_tests::network::{Backend, Client, Network};

use super::site::{PUBLISHED, now};

/// An observer: a tor with a control port, and without cached descriptors.
pub(crate) struct Observer {
    pub(crate) client: Client,
}

/// The copy on one HSDir.
pub(crate) struct Copy {
    pub(crate) hsdir: Fingerprint,
    pub(crate) text: String,
    pub(crate) descriptor: Descriptor,
}

impl Observer {
    pub(crate) fn new(network: &Network) -> Result<Self> {
        Ok(Self { client: network.new_tor_client()? })
    }

    pub(crate) fn directory(&self) -> Result<Directory> {
        let mut control = self.client.control()?;
        let mut time = |key: &str| control.getinfo(&format!("consensus/{key}"));
        let times = [time("valid-after")?, time("fresh-until")?, time("valid-until")?];
        let [valid_after, fresh_until, valid_until] = &times;
        let relays = control.getinfo("ns/all")?;
        Ok(Directory::new(relays.as_bytes(), [valid_after, fresh_until, valid_until])?)
    }

    /// The HSDirs of the descriptors of the service's present period.
    pub(crate) fn places(&self, service: &OnionAddress) -> Result<[(DescriptorTerm, Vec<Fingerprint>); 2]> {
        Ok(self.directory()?.fetch(service, now()?))
    }

    /// The copies on the HSDirs of both replicas for this period. Fails if one has none, or one that a client
    /// could not read.
    pub(crate) fn copies_of(&self, service: &OnionAddress, period: TimePeriod) -> Result<Vec<Copy>> {
        let directory = self.directory()?;
        let mut copies = Vec::new();
        for (term, hsdirs) in directory.fetch(service, period.start(service)) {
            for hsdir in hsdirs {
                let id = format!("v2-{}", term.id(service));
                let text = self.client.control()?.hsfetch(&id, Some(&hsdir.to_string()))?;
                let text = text.with_context(|| format!("{hsdir} has no descriptor for {term:?}"))?;
                let descriptor = document::open(&text, service, &[period], None)?;
                ensure!(descriptor.replica == term.replica, "{hsdir} has the other replica");
                copies.push(Copy { hsdir, text, descriptor });
            }
        }
        Ok(copies)
    }

    /// The copies on the HSDirs that clients ask now.
    pub(crate) fn copies(&self, service: &OnionAddress) -> Result<Vec<Copy>> {
        self.copies_of(service, TimePeriod::at(now()?, service))
    }

    /// The points of each backend, by its name.
    pub(crate) fn points(
        &self,
        backends: &[impl AsRef<Backend>],
    ) -> Result<BTreeMap<String, Vec<IntroductionPoint>>> {
        let points = backends.iter().map(|backend| {
            let backend = backend.as_ref();
            let copies = self.copies(&backend.address().v2()?)?;
            let newest = copies.into_iter().max_by_key(|copy| copy.descriptor.published);
            Ok((backend.name().to_owned(), newest.context("no copy")?.descriptor.points))
        });
        points.collect()
    }

    /// Waits until the copies at all HSDirs are `right`, as judged with the backends' present points.
    pub(crate) fn wait_copies(
        &self,
        service: &OnionAddress,
        backends: &[impl AsRef<Backend>],
        right: impl Fn(&[Copy], &BTreeMap<String, Vec<IntroductionPoint>>) -> Result<()>,
    ) -> Result<Vec<Copy>> {
        let deadline = Instant::now() + PUBLISHED;
        loop {
            let points = self.points(backends)?;
            let judged = self.copies(service).and_then(|copies| right(&copies, &points).map(|()| copies));
            if judged.is_ok() || Instant::now() >= deadline {
                return judged;
            }
        }
    }
}

/// Asserts that every copy lists only points of these backends, none of them twice and no two at one relay,
/// and that all copies together list every backend. Returns the number of points of each backend.
pub(crate) fn shares(
    copies: &[Copy],
    points: &BTreeMap<String, Vec<IntroductionPoint>>,
) -> Result<BTreeMap<String, usize>> {
    let mut shares: BTreeMap<String, usize> = points.keys().map(|name| (name.clone(), 0)).collect();
    for Copy { hsdir, descriptor, .. } in copies {
        let relays: BTreeSet<Fingerprint> = descriptor.points.iter().map(|point| point.relay).collect();
        ensure!(relays.len() == descriptor.points.len(), "{hsdir} lists a relay twice");
        for point in &descriptor.points {
            let owner = points.iter().find(|(_, points)| points.contains(point)).map(|(name, _)| name);
            let owner = owner.with_context(|| format!("{hsdir} lists a point of nobody"))?;
            *shares.entry(owner.clone()).or_default() += 1;
        }
    }
    let missing: Vec<_> = shares.iter().filter(|(_, share)| **share == 0).collect();
    ensure!(missing.is_empty(), "not listed: {missing:?}");
    Ok(shares)
}
