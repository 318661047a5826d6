//! Without `signer-socket-location` the balancer starts a signer as its child.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use onionbalance_tests::programs::Programs;

use super::observer::Observer;
use super::site::{SOON, Site, backends, network, wait_gone, wait_published};

/// The command line of Onionbalance 0.2.4 on a testing network.
#[test]
fn publishes_and_leaves_no_signer_behind() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "child_signer", &backends, "")?;
    let observer = Observer::new(network)?;
    let mut command = site.balancer_command(&Programs::build()?.balancer, observer.client.tor())?;
    command.args(["-s", "/nonexistent/control", "-v", "info", "--is-testnet"]);
    let balancer = site.start(&mut command, "balancer")?;
    let started = balancer.wait_line("started a signer", SOON)?;
    let signer = started.rsplit_once("pid=").context("the signer has a pid")?.1.to_owned();
    wait_published(&balancer)?;
    observer.wait_current(&site.address, &backends, &observer)?;

    balancer.signal(Signal::SIGKILL)?;
    balancer.wait_exit(SOON)?;
    wait_gone(&signer)
}
