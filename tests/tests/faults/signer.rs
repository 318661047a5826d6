//! The signer dies, also during a request. Published descriptors are not affected, and the next one waits for
//! the next signer.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use onionbalance_tests::programs::Running;

use crate::report::note;
use crate::site::{RENEWED, SOON, Site, VISITED, VISITS, backends, ensure_within, network};

/// The longest time from the start of a new signer to the last acknowledgement: at most 8.3 s until the next
/// try, and uploads.
const PUBLISHED: Duration = Duration::from_secs(20);
/// The balancer gives a silent signer up after 10 s.
const SIGNER_GIVEN_UP: Duration = Duration::from_secs(10);

/// The signer is killed between two requests, and then during one.
pub(crate) fn killed(fault: &'static str) -> Result<()> {
    let network = network()?;
    let site = Site::new(network, fault, backends(network)?)?;
    let (signer, balancer) = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(1, SOON, |_| true)?;

    let killed = Instant::now();
    signer.kill()?;
    balancer.wait_line("start onionbalance-signer", RENEWED)?;
    let (signer, after_one) = start(&site)?;

    // The request for one descriptor has been given up. The one for the other descriptor has waited for its
    // turn, and is now sent to a signer that never answers.
    signer.signal(Signal::SIGSTOP)?;
    balancer.wait_line("the signer did not answer", RENEWED + SIGNER_GIVEN_UP)?;
    signer.kill()?;
    let (_signer, after_two) = start(&site)?;
    traffic.wait(VISITS, VISITED, |_| true)?;

    let visits = traffic.end()?.divide(killed).1;
    note(fault, "signer killed twice, started again", &visits, Some(after_one.max(after_two)));
    visits.assert_unharmed()?;
    ensure_within(after_one, PUBLISHED)?;
    ensure_within(after_two, PUBLISHED)
}

/// Starts the signer, and measures the time until all waiting descriptors are published.
fn start(site: &Site<'_>) -> Result<(Running, Duration)> {
    let started = Instant::now();
    let signer = site.signer()?;
    site.wait_stored()?;
    let took = started.elapsed();
    site.wait_current()?;
    Ok((signer, took))
}
