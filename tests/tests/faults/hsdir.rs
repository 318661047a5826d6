//! An HSDir of the frontend dies, and the consensus names another in its place.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Network, Plan, Relay};
use onionbalance_tests::wait::until;

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, VOTING_INTERVAL, ensure_within};

/// More HSDirs than the eight of a descriptor: somebody has to become responsible.
const RELAYS: usize = 9;
/// A consensus comes every 15 s; clients fetch it some seconds later.
const CONSENSUS: Duration = Duration::from_mins(1);
/// From the observer's consensus without the HSDir to the last HSDir's word: the balancer's tor may be as late as a voting
/// interval, new HSDirs get an upload at once, and points that died with the relay are missed with the next look.
const HEALED: Duration = Duration::from_secs(45);

pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let frontends = vec![KeyV3::named(fault).address()?];
    let plan = Plan { relays: RELAYS, voting_interval: VOTING_INTERVAL, frontends, ..Plan::default() };
    let network = Network::start(&plan)?;
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

/// A relay that clients ask for the frontend's descriptor.
fn responsible<'a>(network: &'a Network, site: &Site<'_>) -> Result<&'a Relay> {
    let (_, hsdirs) = site.observer.directory()?.fetch(&site.address);
    let hsdirs: Vec<_> = hsdirs.iter().map(ToString::to_string).collect();
    let relays = (0..RELAYS).map(|number| network.relay(number)).collect::<Result<Vec<_>>>()?;
    let mut responsible =
        relays.into_iter().filter(|relay| hsdirs.iter().any(|hsdir| hsdir == relay.fingerprint()));
    responsible.next().context("no relay is responsible")
}

/// Waits until the observer has a consensus without the relay.
fn wait_without(site: &Site<'_>, relay: &Relay) -> Result<()> {
    let mut control = site.observer.client.control()?;
    let gone = |hsdirs: Vec<String>| !hsdirs.iter().any(|hsdir| hsdir == relay.fingerprint());
    until(CONSENSUS, || Ok(gone(control.hsdirs()?).then_some(()))).context("the relay stays in the consensus")
}
