//! More introduction points than a descriptor may list: clients refuse a descriptor of 21 as a whole.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::observer::{Observer, Point};
use crate::site::{Site, backends, network, wait_published};

const BACKENDS: usize = 12;
/// Clients take no more (tor: `HS_CONFIG_V3_MAX_INTRO_POINTS`).
const POINTS_MAX: usize = 20;

#[test]
fn twelve_backends_share_twenty_points() -> Result<()> {
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
        assert!(offered.iter().map(BTreeSet::len).sum::<usize>() > POINTS_MAX);
        Ok(move |listed: &BTreeSet<Point>| is_shared(listed, &offered))
    })?;
    let copies = observer.copies(&site.address)?;
    let listed: BTreeSet<Point> = copies.into_iter().flat_map(|copy| copy.points).collect();
    let offered: BTreeSet<Point> = observer.points(&all)?.into_iter().flatten().collect();
    assert_eq!(listed, offered, "the HSDirs' descriptors together list every point");
    let visitor = network.new_tor_client()?;
    for _ in 0..10 {
        let page = visitor.get(&site.address, 80, "/")?;
        assert!(page.text().starts_with("backend-"), "{}", page.text());
    }
    Ok(())
}

/// Whether these are 20 of the backends' points, and of each backend at least one.
fn is_shared(listed: &BTreeSet<Point>, offered: &[BTreeSet<Point>]) -> bool {
    let shares: Vec<usize> = offered.iter().map(|points| points.intersection(listed).count()).collect();
    listed.len() == POINTS_MAX
        && shares.iter().sum::<usize>() == POINTS_MAX
        && shares.iter().all(|share| *share > 0)
}
