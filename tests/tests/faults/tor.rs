//! The balancer's tor is killed over uploads, comes back with another cookie, and takes its time to bootstrap.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network, wait_upload};

/// From the moment at which tor may go online to the last HSDir's word: tor knows the relays from its last run and bootstraps
/// in a few seconds, what was under way is uploaded at once, and tried again within seconds.
const PUBLISHED: Duration = Duration::from_secs(20);

pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    // Its control port stays where it is.
    let tor = network.management().tor();
    let (_signer, balancer) = site.serve(tor)?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    wait_upload(tor, &site.address)?;
    let killed = Instant::now();
    tor.kill()?;
    let cookie = fs::read(tor.cookie_file())?;
    balancer.wait_line("the connection to tor is lost", SOON)?;
    tor.start_offline()?;
    ensure!(fs::read(tor.cookie_file())? != cookie, "tor kept its cookie");
    // Once connected, it is told so.
    balancer.wait_line("waiting for tor", SOON)?;
    let online = Instant::now();
    tor.go_online()?;
    site.wait_stored()?;
    let healed = online.elapsed();
    site.wait_current()?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "the balancer's tor killed, started again", &visits, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(healed, PUBLISHED)
}
