//! An HSDir of the frontend dies, and the next consensus makes another one responsible; or it freezes, and
//! stays in the consensus.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Network, Plan, Relay};
use onionbalance_tests::traffic::Traffic;
use onionbalance_tests::wait::until;

use crate::backends::FOLLOWED;
use crate::report::note;
use crate::site::{RENEWED, SOON, Site, VISITED, VISITS, VOTING_INTERVAL, ensure_within};

/// A consensus comes every 15 s; clients fetch it some seconds later.
const CONSENSUS: Duration = Duration::from_mins(1);
/// The longest time from the observer's consensus without the HSDir to the last acknowledgement. The
/// consensus of the balancer's tor may be a voting interval later; new HSDirs get an upload at once.
const HEALED: Duration = Duration::from_secs(45);

/// The relays besides the authorities and those that are only HSDirs.
const OTHERS: usize = 8;
/// With two replicas, twelve relays are the HSDirs of every descriptor: all relays, or all but one. In a
/// young network without a previous shared-random value, descriptors would move to other HSDirs with the next
/// value.
const SPREAD: usize = 6;
/// The balancer gives an unanswered upload up after 75 s.
const GIVEN_UP: Duration = Duration::from_secs(80);
/// The balancer gives an unanswered fetch from a backend's HSDir up after 15 s, and asks all others.
const FETCH_GIVEN_UP: Duration = Duration::from_secs(15);
/// The longest time from the thaw to the HSDir's acknowledgement: an upload to the frozen HSDir may have to
/// be given up first, and is retried at most 8 s later.
const TAKEN: Duration = Duration::from_secs(95);
/// In a testing network tor asks the same HSDir again after 5 s instead of a quarter of an hour: one visit
/// could wait for the frozen HSDir twice, 30 s each time.
const VISITORS_PATIENCE: &str = "SETCONF TestingDirConnectionMaxStall=10";

pub(crate) fn killed(fault: &'static str) -> Result<()> {
    // One of the two is an HSDir of the descriptor that visitors request now. The other becomes one after the
    // first has died.
    let network = network(fault, 2)?;
    let site = Site::new(&network, fault, network.backends())?;
    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    let victim = responsible(&network, &site)?;
    let killed = Instant::now();
    victim.kill()?;
    network.expel(victim)?;
    wait_without(&site, victim)?;
    let since = Instant::now();
    site.wait_current()?;
    site.wait_stored()?;
    let healed = since.elapsed();
    traffic.wait(VISITS, VISITED, |_| true)?;

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "an HSDir killed, gone from the consensus", &visits, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(healed, HEALED)
}

/// A frozen HSDir stays in the consensus, and tor never reports an unanswered upload.
pub(crate) fn frozen(fault: &'static str) -> Result<()> {
    let network = network(fault, 1)?;
    let victim = network.relay(OTHERS)?;
    let mut site = Site::new(&network, fault, network.backends())?;
    let (_signer, balancer) = site.serve(site.tor.tor())?;
    let visitor = network.new_tor_client()?;
    visitor.control()?.send(VISITORS_PATIENCE)?;
    let traffic = Traffic::begin(visitor, &site.address, &site.backends);
    traffic.wait(1, SOON, |_| true)?;
    let (changing, others) = site.backends.split_first().context("there are backends")?;
    let address = changing.address().v3()?;
    let before = site.observer.newest(&address)?.points;

    traffic.set_living(others);
    let frozen = Instant::now();
    victim.freeze()?;
    site.observer.avoids = Some(victim.fingerprint().parse()?);
    changing.revive()?;
    let renewed = || Ok(site.observer.newest(&address)?.points.is_disjoint(&before).then_some(()));
    until(RENEWED, renewed).context("the backend has no other points")?;
    let published = Instant::now();
    site.wait_current()?;
    let followed = published.elapsed();
    traffic.set_living(&site.backends);
    let line = balancer.wait_line("did not answer an upload", RENEWED + GIVEN_UP)?;
    ensure!(line.contains(&format!("hsdirs={}", victim.fingerprint())), "{line}");

    let thawed = Instant::now();
    victim.thaw()?;
    site.wait_stored_within(TAKEN)?;
    let taken = thawed.elapsed();
    site.observer.avoids = None;
    site.wait_current()?;

    let visits = traffic.end()?.divide(frozen).1;
    let (silent, awake) = visits.clone().divide(thawed);
    note(fault, "an HSDir frozen while a backend restarts", &silent, Some(followed));
    note(fault, "it is thawed", &awake, Some(taken));
    visits.assert_unharmed()?;
    ensure_within(followed, FOLLOWED + FETCH_GIVEN_UP)
}

/// A network of its own, with HSDirs that are neither guards, nor in the middle of circuits, nor introduction
/// points. Failures in these roles would test tor.
fn network(fault: &str, hsdirs_only: usize) -> Result<Network> {
    let plan = Plan {
        relays: OTHERS + hsdirs_only,
        hsdirs_only,
        hsdir_spread: Some(SPREAD),
        voting_interval: VOTING_INTERVAL,
        frontends: vec![KeyV3::named(fault).address()?],
        ..Plan::default()
    };
    Network::start(&plan)
}

/// A relay that is only an HSDir, and is responsible for the frontend's descriptor.
fn responsible<'a>(network: &'a Network, site: &Site<'_>) -> Result<&'a Relay> {
    let (_, hsdirs) = site.observer.directory()?.fetch(&site.address);
    let hsdirs: Vec<_> = hsdirs.iter().map(ToString::to_string).collect();
    let victims = [network.relay(OTHERS)?, network.relay(OTHERS + 1)?];
    let mut responsible =
        victims.into_iter().filter(|relay| hsdirs.iter().any(|hsdir| hsdir == relay.fingerprint()));
    responsible.next().context("no relay is responsible")
}

/// Waits until the observer has a consensus without the relay.
fn wait_without(site: &Site<'_>, relay: &Relay) -> Result<()> {
    let mut control = site.observer.client.control()?;
    let gone = |hsdirs: Vec<String>| !hsdirs.iter().any(|hsdir| hsdir == relay.fingerprint());
    until(CONSENSUS, || Ok(gone(control.hsdirs()?).then_some(()))).context("the relay stays in the consensus")
}
