//! More introduction points than a descriptor may list: clients refuse the whole of a descriptor with eleven.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use onionbalance_proto::v2::document::MAX_POINTS;
use onionbalance_tests::key_v2::KeyV2;

use super::observer::{Observer, shares};
use super::site::{Site, backends, network, plain, wait_published};

const BACKENDS: usize = 12;

#[test]
fn twelve_backends_take_turns_at_six_hsdirs() -> Result<()> {
    let network = network()?;
    let mut all = backends(network)?;
    let more = (all.len()..BACKENDS).map(|_| network.start_backend()).collect::<Result<Vec<_>>>()?;
    for backend in &more {
        backend.wait_published()?;
        all.push(Arc::clone(backend));
    }
    let key = KeyV2::generate()?;
    let site = Site::new(network, "distinct", &[(&key, &plain(&all)?)], "")?;
    let observer = Observer::new(network)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer, &key.address(), 2)?;
    observer.wait_copies(&key.address(), &all, |copies, points| {
        ensure!(copies.len() == 6, "{} copies", copies.len());
        ensure!(copies.iter().all(|copy| copy.descriptor.points.len() <= MAX_POINTS), "too many points");
        let different: BTreeSet<Vec<[u8; 128]>> = copies
            .iter()
            .map(|copy| copy.descriptor.points.iter().map(|point| modulus(&point.service_key)).collect())
            .collect();
        ensure!(different.len() == 6, "only {} different descriptors", different.len());
        // The distribution depends on the relays that the backends share.
        shares(copies, points).map(drop)
    })?;

    let mut answered = BTreeSet::new();
    for visitor in network.new_tor_clients(3)? {
        for _ in 0..10 {
            answered.insert(visitor.get(&key.address(), 80, "/")?.text());
        }
    }
    assert!(answered.len() > MAX_POINTS / 2, "{answered:?}");
    Ok(())
}

fn modulus(key: &onionbalance_proto::v2::PointKey) -> [u8; 128] {
    let der = key.to_der();
    let mut modulus = [0; 128];
    modulus.iter_mut().zip(der.iter().skip(7)).for_each(|(to, from)| *to = *from);
    modulus
}
