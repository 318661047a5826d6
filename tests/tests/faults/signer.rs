//! The signer dies, also over a request. What is published stays so, and the next descriptor waits for the next signer.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use onionbalance_tests::programs::Running;

use crate::report::note;
use crate::site::{RENEWED, SOON, Site, VISITED, VISITS, backends, ensure_within, network};

/// From the start of a new signer to the last HSDir's word: at most 8.3 s until the next try, and uploads.
const PUBLISHED: Duration = Duration::from_secs(20);
/// A signer that says nothing is given up after 10 s.
const SIGNER_GIVEN_UP: Duration = Duration::from_secs(10);

/// First between two requests, then over one.
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

    // One descriptor's request has been given up. The other's, which waited for its turn, is now before a signer that will
    // never answer.
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

/// Starts the signer, and takes the time until all is published that waited for it.
fn start(site: &Site<'_>) -> Result<(Running, Duration)> {
    let started = Instant::now();
    let signer = site.signer()?;
    site.wait_stored()?;
    let took = started.elapsed();
    site.wait_current()?;
    Ok((signer, took))
}
