//! The balancer's tor is cut off from the network until its consensus is old, and is dormant when the network
//! is back: such a tor fetches no consensus until a client uses it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use onionbalance_tests::network::Daemon;
use onionbalance_tests::wait::until;

use crate::report::note;
use crate::site::{SOON, Site, VISITED, VISITS, backends, ensure_within, network};

/// A consensus is valid for three intervals of 15 s, and counts as current for one more. The balancer checks
/// every 30 s.
const OLD: Duration = Duration::from_secs(150);
/// The longest time from the moment at which tor may go online. The balancer signals activity once a minute.
/// After that the consensus is fetched and read, and descriptors are uploaded to its responsible HSDirs.
const HEALED: Duration = Duration::from_mins(2);
/// Tor checks every five minutes for how long it has been idle (`CHECK_PARTICIPATION_INTERVAL`).
const CUT_OFF: Duration = Duration::from_mins(8);

/// Tor is made dormant by a signal, as at the end of `DormantClientTimeout`.
pub(crate) fn signalled(fault: &'static str) -> Result<()> {
    befalls(fault, "the balancer's tor cut off, dormant", |tor| {
        tor.control()?.send("SIGNAL DORMANT").map(drop)
    })
}

/// Tor may go dormant by itself.
pub(crate) fn timed_out(fault: &'static str) -> Result<()> {
    befalls(fault, "the balancer's tor cut off for long", |tor| {
        // In a testing network the option has no minimum.
        tor.control()?.send("SETCONF DormantClientTimeout=60")?;
        sleep(CUT_OFF);
        Ok(())
    })
}

fn befalls(fault: &'static str, what: &str, lull: impl FnOnce(&Daemon) -> Result<()>) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    let tor = site.tor.tor();
    let (_signer, balancer) = site.serve(tor)?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    tor.control()?.send("SETCONF DisableNetwork=1")?;
    balancer.wait_line("tor has had no current consensus", OLD)?;
    let last = consensus(tor)?;
    lull(tor)?;
    ensure!(consensus(tor)? == last, "tor was not cut off");
    let online = Instant::now();
    tor.go_online()?;
    balancer.wait_line("tor has a current consensus again", HEALED)?;
    ensure!(consensus(tor)? > last, "tor has the consensus that it had");
    until(HEALED, || Ok(site.wait_current().ok()))?;
    site.wait_stored()?;
    let healed = Instant::now();
    traffic.wait(VISITS, VISITED, |visit| visit.answer.is_ok())?;

    let visits = traffic.end()?.divide(healed).1;
    note(fault, what, &visits, Some(healed - online));
    visits.assert_unharmed()?;
    ensure_within(healed - online, HEALED)
}

/// The beginning of the validity of tor's consensus. In this form a later time is a greater text.
fn consensus(tor: &Daemon) -> Result<String> {
    tor.control()?.getinfo("consensus/valid-after")
}
