//! Backends die, freeze and come back. Visitors who meet a dead introduction point go on to another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use onionbalance_tests::network::{Backend, Network};

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network};

/// From a backend's new descriptor to its points' being on all HSDirs of the frontend: the next look is 16.5 s away at most,
/// changes are gathered for 1.5 s, and uploads take a few seconds.
pub(crate) const FOLLOWED: Duration = Duration::from_secs(30);
/// A visitor who picks one of nine points misses one backend's three in all of fifty visits once in a hundred million times.
const MET: Duration = Duration::from_secs(100);
/// A time period and a half, of six minutes, and a look.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// What visits are like when nothing happens.
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

/// A dead backend stays listed, but costs visitors time only.
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

/// It leaves the descriptor when no HSDir has one of it any more: with the next time period, or with the one after that if it
/// had published for both.
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

/// A frozen backend leaves visitors waiting for an answer before they try another point.
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

/// While every backend is dead nobody can be served. The last set stays published, and the first that comes back is followed
/// at once.
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
    // Visits that began before have what was published before.
    let well = Instant::now();
    traffic.wait(VISITS, VISITED, |_| true)?;

    let (before, after) = traffic.end()?.divide(well);
    note(fault, "all backends killed", &before.divide(killed).1, None);
    note(fault, "one of them is revived", &after, Some(healed));
    after.assert_unharmed()?;
    ensure_within(followed, FOLLOWED)
}

/// A frontend over two backends that nobody may harm, and one more.
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
