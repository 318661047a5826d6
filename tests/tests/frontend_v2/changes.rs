//! Backends and tors that disappear and return.

use anyhow::Result;
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::network::Backend;

use super::observer::{Observer, shares};
use super::site::{PUBLISHED, Site, network, plain, wait_published};

#[test]
fn a_backend_dies_and_comes_back_with_other_points() -> Result<()> {
    let network = network()?;
    let backends = [network.start_backend()?, network.start_backend()?];
    backends.iter().try_for_each(|backend| backend.wait_published())?;
    let [mortal, other] = &backends;
    let key = KeyV2::generate()?;
    let site = Site::new(network, "changes", &[(&key, &plain(&backends)?)], "")?;
    let observer = Observer::new(network)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer, &key.address(), 2)?;

    // Its points stay listed while its descriptor is young; clients use the other backend's points.
    mortal.kill()?;
    let visitor = network.new_tor_client()?;
    for _ in 0..5 {
        assert_eq!(visitor.get(&key.address(), 80, "/")?.text(), other.name());
    }
    mortal.revive()?;
    mortal.wait_published()?;
    // The restarted backend has the same address, the same publication hour, and other points.
    balancer.wait_line("backend has other introduction points", PUBLISHED)?;
    observer.wait_copies(&key.address(), &backends, |copies, points| shares(copies, points).map(drop))?;
    visit_until(&visitor, &key, mortal)
}

fn visit_until(visitor: &onionbalance_tests::network::Client, key: &KeyV2, wanted: &Backend) -> Result<()> {
    visitor.restart()?;
    // The chance that this number of visits misses one of two backends is one in 10^9.
    for _ in 0..30 {
        if visitor.get(&key.address(), 80, "/")?.text() == wanted.name() {
            return Ok(());
        }
    }
    anyhow::bail!("{} never answered", wanted.name())
}

#[test]
fn the_balancers_tor_starts_anew() -> Result<()> {
    let network = network()?;
    let backends = [network.start_backend()?];
    backends.iter().try_for_each(|backend| backend.wait_published())?;
    let key = KeyV2::generate()?;
    let site = Site::new(network, "tor_restart", &[(&key, &plain(&backends)?)], "")?;
    let observer = Observer::new(network)?;
    let mut command = site.balancer_command(
        &onionbalance_tests::programs::Programs::build()?.balancer,
        network.management().tor(),
    )?;
    let balancer = site.start(command.arg("-v").arg("info"), "balancer")?;
    wait_published(&balancer, &key.address(), 2)?;

    network.management().restart()?;
    balancer.wait_line("the connection to tor is lost", PUBLISHED)?;
    let [backend] = &backends;
    backend.revive()?;
    backend.wait_published()?;
    balancer.wait_line("backend has other introduction points", PUBLISHED)?;
    observer.wait_copies(&key.address(), &backends, |copies, points| shares(copies, points).map(drop))?;
    Ok(())
}
