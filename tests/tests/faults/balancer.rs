//! The balancer is killed and started again. It needs no state beyond the network's.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network, wait_upload};

/// The longest time from the balancer's start to a new descriptor on every HSDir: at most 3 s of waiting for
/// late backends, and uploads.
const PUBLISHED: Duration = Duration::from_secs(15);

/// It is killed before its first publication, between two uploads of one publication, and after all uploads.
pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    let (_signer, balancer) = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    let killed = Instant::now();
    balancer.kill()?;
    let balancer = site.balancer(site.tor.tor())?;
    balancer.wait_line("tor is ready", SOON)?;
    balancer.kill()?;
    let balancer = site.balancer(site.tor.tor())?;
    wait_upload(site.tor.tor(), &site.address)?;
    balancer.kill()?;

    let started = Instant::now();
    let _balancer = site.balancer(site.tor.tor())?;
    site.wait_stored()?;
    let healed = started.elapsed();
    site.wait_current()?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "balancer killed three times, started again", &visits, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(healed, PUBLISHED)
}
