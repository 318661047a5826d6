//! The signals that tor's operators send: USR1 for the status, USR2 for debugging, QUIT and TERM for the end.

use anyhow::{Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_tests::pair::{Pair, SOON};

#[needs_root]
#[test]
fn status_and_debugging_can_be_asked_for_at_any_time() -> Result<()> {
    let pair = Pair::start()?;
    pair.balancer.signal(Signal::SIGUSR1)?;
    pair.balancer.wait_line("INFO status: waiting for tor at unix:tor/control", SOON)?;
    let service = pair.balancer.wait_line("[not uploaded]", SOON)?;
    ensure!(service.contains("INFO status: "), "{service}");

    pair.balancer.signal(Signal::SIGUSR2)?;
    pair.balancer.wait_line("logging at level debug", SOON)?;
    pair.balancer.signal(Signal::SIGUSR2)?;
    pair.balancer.wait_line("logging at level info", SOON)?;
    ensure!(pair.balancer.exited()?.is_none());
    Ok(())
}

#[needs_root]
#[test]
fn each_ending_ends_it_well() -> Result<()> {
    for signal in [Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGINT] {
        let pair = Pair::start()?;
        pair.balancer.signal(signal)?;
        ensure!(pair.balancer.wait_exit(SOON)?.code() == Some(0), "{}", pair.balancer.failure("ended badly"));
        ensure!(!pair.place.path("balancer/status").exists());
    }
    Ok(())
}
