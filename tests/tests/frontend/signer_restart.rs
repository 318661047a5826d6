//! The signer dies and comes back while the balancer runs.

use anyhow::Result;
use onionbalance_tests::wait::until;

use super::observer::Observer;
use super::site::{PUBLISHED, Site, backends, network, wait_published};

#[test]
fn the_next_publication_finds_the_signer_again() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "signer_restart", &backends, "signer-socket-location: signer\n")?;
    let observer = Observer::new(network)?;
    let visitor = network.new_tor_client()?;
    let signer = site.signer()?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;

    signer.kill()?;
    let warning = balancer.wait_line("descriptor not published", PUBLISHED)?;
    assert!(warning.contains(" WARN ") && warning.contains("start onionbalance-signer"), "{warning}");
    let last = observer.newest(&site.address)?.revision;
    // What is published stays so.
    visitor.get(&site.address, 80, "/")?;

    let again = site.signer()?;
    until(PUBLISHED, || Ok((observer.newest(&site.address)?.revision > last).then_some(())))?;
    visitor.restart()?;
    visitor.get(&site.address, 80, "/")?;
    assert!(balancer.exited()?.is_none() && again.exited()?.is_none());
    Ok(())
}
