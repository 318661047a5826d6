//! Backends die, freeze and return. A visitor at a dead introduction point tries another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use onionbalance_tests::network::{Backend, Network};

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network};

/// The longest time from a backend's new descriptor until all HSDirs of the frontend list its points: at most
/// 16.5 s to the next fetch, 1.5 s in which changes are gathered, and a few seconds of uploads.
pub(crate) const FOLLOWED: Duration = Duration::from_secs(30);
/// The time of fifty visits. Each picks one of nine points: the chance that all miss one backend's three is
/// one in a hundred million.
const MET: Duration = Duration::from_secs(100);
/// One and a half time periods of six minutes, and a fetch.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// Visits without a fault.
pub(crate) fn nothing(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    let _programs = site.serve(site.tor.tor())?;

    let traffic = site.visit()?;
    traffic.wait(VISITS, VISITED, |_| true)?;
    let visits = traffic.end()?;
    note(fault, "nothing", &visits, None);
    visits.assert_unharmed()
}

/// A dead backend stays listed, and only delays visitors.
pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let (site, living, victim) = with_victim(network, fault)?;
    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait_answer(&victim, MET)?;

    traffic.set_living(&living);
    let killed = Instant::now();
    victim.kill()?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let revived = Instant::now();
    victim.revive()?;
    victim.wait_published()?;
    let published = Instant::now();
    site.wait_current()?;
    let (followed, healed) = (published.elapsed(), revived.elapsed());
    traffic.set_living(&site.backends);
    traffic.wait_answer(&victim, MET)?;

    let visits = traffic.end()?.divide(killed).1;
    let (dead, back) = visits.clone().divide(revived);
    note(fault, "one of three backends killed", &dead, None);
    note(fault, "it is revived", &back, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(followed, FOLLOWED)
}

/// A dead backend leaves the descriptor when no HSDir has its own descriptor: with the next time period, or
/// with the one after that if it had published for both.
pub(crate) fn killed_for_good(fault: &'static str) -> Result<()> {
    let network = network()?;
    let (mut site, living, victim) = with_victim(network, fault)?;
    let (_signer, balancer) = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait_answer(&victim, MET)?;

    traffic.set_living(&living);
    let killed = Instant::now();
    victim.kill()?;
    balancer.wait_line("dropped backend", FORGOTTEN)?;
    site.backends = living;
    site.wait_current()?;
    let healed = killed.elapsed();

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "one of three backends killed for good", &visits, Some(healed));
    visits.assert_unharmed()
}

/// Visitors wait for the answer of a frozen backend before they try another point.
pub(crate) fn frozen(fault: &'static str) -> Result<()> {
    let network = network()?;
    let (site, living, victim) = with_victim(network, fault)?;
    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait_answer(&victim, MET)?;

    traffic.set_living(&living);
    let frozen = Instant::now();
    victim.freeze()?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let thawed = Instant::now();
    victim.thaw()?;
    traffic.wait_answer(&victim, MET)?;
    let healed = thawed.elapsed();

    let visits = traffic.end()?.divide(frozen).1;
    let (silent, awake) = visits.clone().divide(thawed);
    note(fault, "one of three backends frozen", &silent, None);
    note(fault, "it is thawed", &awake, Some(healed));
    visits.assert_unharmed()
}

/// While all backends are dead, no visitor is served. The last set stays published, and the first backend
/// that returns is published at once.
pub(crate) fn all_killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let (first, second) = (network.start_backend()?, network.start_backend()?);
    first.wait_published()?;
    second.wait_published()?;
    let site = Site::new(network, fault, vec![first.clone(), second.clone()])?;
    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |visit| visit.answer.is_ok())?;

    traffic.set_living(&[]);
    let killed = Instant::now();
    first.kill()?;
    second.kill()?;
    traffic.wait(1, VISITED, |visit| visit.answer.is_err())?;

    let revived = Instant::now();
    first.revive()?;
    first.wait_published()?;
    let published = Instant::now();
    site.wait_current()?;
    let (followed, healed) = (published.elapsed(), revived.elapsed());
    traffic.set_living(&[first]);
    // Visits that began before use the earlier descriptor.
    let well = Instant::now();
    traffic.wait(VISITS, VISITED, |_| true)?;

    let (before, after) = traffic.end()?.divide(well);
    note(fault, "all backends killed", &before.divide(killed).1, None);
    note(fault, "one of them is revived", &after, Some(healed));
    after.assert_unharmed()?;
    ensure_within(followed, FOLLOWED)
}

/// A frontend over two backends that no test may stop, and one more.
pub(crate) fn with_victim<'a>(
    network: &'a Network,
    fault: &str,
) -> Result<(Site<'a>, Vec<Arc<Backend>>, Arc<Backend>)> {
    let mut living = backends(network)?;
    living.truncate(2);
    let victim = network.start_backend()?;
    victim.wait_published()?;
    let all = living.iter().chain([&victim]).cloned().collect();
    Ok((Site::new(network, fault, all)?, living, victim))
}
