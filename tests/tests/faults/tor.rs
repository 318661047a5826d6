//! The balancer's tor is killed during uploads, and returns with another cookie, or not at all.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use onionbalance_tests::network::Client;

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network, wait_upload};

/// The longest time from the moment at which tor may go online to the last acknowledgement. Tor knows the
/// relays from its last run and bootstraps in a few seconds. Interrupted uploads are repeated at once, and
/// retried within seconds.
const PUBLISHED: Duration = Duration::from_secs(20);

pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    // The control port keeps its address.
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
    // The balancer logs the new connection.
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

/// The longest time from the death of a tor to the last acknowledgement to another one: a minute until its
/// services move (`runtime/pool.rs`), a fetch of each backend, and the uploads.
const TAKEN_OVER: Duration = Duration::from_secs(90);

/// One of two tors that share the work is killed and stays away.
pub(crate) fn killed_for_good(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    let tors: [Client; 2] = network.new_tor_clients(2)?.try_into().map_err(|_| anyhow!("two tors"))?;
    site.share(&tors)?;
    // This tor has no service, because those of the configuration have tors of their own.
    let (_signer, balancer) = site.serve(network.management().tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    let publishes = |tor: &Client| wait_upload(tor.tor(), &site.address).is_ok();
    let serving = thread::scope(|scope| {
        let watches = tors.each_ref().map(|tor| (tor, scope.spawn(move || publishes(tor))));
        watches
            .into_iter()
            .find_map(|(tor, watch)| watch.join().is_ok_and(|publishes| publishes).then_some(tor))
    });
    let serving = serving.context("no tor publishes")?;
    let killed = Instant::now();
    serving.tor().kill()?;
    balancer.wait_line("other tors balance its services, 1 in number", TAKEN_OVER)?;
    site.wait_stored_within(TAKEN_OVER)?;
    let healed = killed.elapsed();
    site.wait_current()?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "one of two tors killed for good", &visits, Some(healed));
    visits.assert_unharmed()?;
    ensure_within(healed, TAKEN_OVER)
}
