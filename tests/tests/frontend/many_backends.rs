//! More introduction points than a descriptor can list: each HSDir gets a choice of its own.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use onionbalance_proto::fixture::Backend;
use onionbalance_tests::wait::until;

use super::made_up::publish;
use super::observer::{Observer, Point, SETTLED, is_full};
use super::site::{Site, backends, network, wait_published};

const BACKENDS: usize = 12;
/// The most points that clients accept (tor: `HS_CONFIG_V3_MAX_INTRO_POINTS`).
const POINTS_MAX: usize = 20;

/// A client finds only the first point at a relay, and the network has half as many relays as backends.
#[test]
fn twelve_backends_take_turns_at_six_relays() -> Result<()> {
    let network = network()?;
    let mut all = backends(network)?;
    let more = (all.len()..BACKENDS).map(|_| network.start_backend()).collect::<Result<Vec<_>>>()?;
    for backend in &more {
        backend.wait_published()?;
        all.push(backend.address().v3()?);
    }
    let site = Site::new(network, "many_backends", &all, "")?;
    let observer = Observer::new(network)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    observer.wait_copies(&site.address, || {
        let offered = observer.points(&all)?;
        Ok(move |listed: &BTreeSet<Point>| is_full(listed, &offered))
    })?;
    let listed = union(&observer, &site)?;
    assert!(observer.points(&all)?.iter().all(|points| !points.is_disjoint(&listed)), "a backend is missing");
    let visitor = network.new_tor_client()?;
    for _ in 0..10 {
        let page = visitor.get(&site.address, 80, "/")?;
        assert!(page.text().starts_with("backend-"), "{}", page.text());
    }
    Ok(())
}

/// Clients refuse the whole of a descriptor with 21 points.
#[test]
fn thirty_six_points_stand_in_descriptors_of_twenty() -> Result<()> {
    let network = network()?;
    let observer = Observer::new(network)?;
    let made_up: Vec<Backend> = (201..).take(BACKENDS).map(Backend::new).collect();
    for backend in &made_up {
        publish(&observer, backend, 3, |_, _| ())?;
    }
    let all: Vec<_> = made_up.iter().map(Backend::address).collect();
    let site = Site::new(network, "twenty_points", &all, "")?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    observer.wait_copies(&site.address, || {
        let offered = observer.points(&all)?;
        Ok(move |listed: &BTreeSet<Point>| {
            let mut shares = offered.iter().map(|points| points.intersection(listed).count());
            listed.len() == POINTS_MAX && shares.all(|share| share > 0)
        })
    })?;
    // A new time period has other points: the comparison must be within one.
    until(SETTLED, || {
        let offered: BTreeSet<Point> = observer.points(&all)?.into_iter().flatten().collect();
        Ok((offered.len() == 3 * BACKENDS && union(&observer, &site)? == offered).then_some(()))
    })
    .context("the descriptors together do not list every point")
}

/// The points in all HSDirs' descriptors together.
fn union(observer: &Observer, site: &Site) -> Result<BTreeSet<Point>> {
    Ok(observer.copies(&site.address)?.into_iter().flat_map(|copy| copy.points).collect())
}
