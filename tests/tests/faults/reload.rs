//! SIGHUP with another configuration, under visits.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use onionbalance_tests::programs::Running;

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network, service, wait_upload};

/// The longest time from the balancer's signal to the last acknowledgement: a fetch of the new backend, and
/// uploads.
const APPLIED: Duration = Duration::from_secs(15);

/// First a configuration that is not valid, then one without one backend and with another.
pub(crate) fn hangup(fault: &'static str) -> Result<()> {
    let network = network()?;
    let mut all = backends(network)?;
    let added = all.remove(2);
    let mut site = Site::new(network, fault, all)?;
    let (signer, balancer) = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    let begun = Instant::now();
    site.configure("services: []\n")?;
    for program in [&signer, &balancer] {
        reload(program, "config.yaml:1: there are no services")?;
    }
    // The published descriptors are still renewed.
    wait_upload(site.tor.tor(), &site.address)?;

    let removed = site.backends.remove(0);
    site.backends.push(added.clone());
    site.set_services(&service("front.pem", &site.addresses()?)?)?;
    reload(&signer, "reloaded ")?;
    let since = Instant::now();
    balancer.signal(Signal::SIGHUP)?;
    // Every HSDir lists points of exactly these two, and as many as possible.
    site.wait_current()?;
    let healed = since.elapsed();
    site.wait_stored()?;
    traffic.wait_answer(&added, VISITED)?;
    traffic.wait(VISITS, VISITED, |visit| visit.answer.as_deref() != Ok(removed.name()))?;

    let visits = traffic.end()?.divide(begun).1;
    note(fault, "SIGHUP: one backend removed, one added", &visits, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(healed, APPLIED)
}

/// Sends SIGHUP, and waits for this line of the program.
fn reload(program: &Running, answer: &str) -> Result<()> {
    program.signal(Signal::SIGHUP)?;
    program.wait_line(answer, SOON).map(drop)
}
