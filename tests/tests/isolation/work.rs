//! A confined balancer does all of its work: a forbidden call would end it.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use onionbalance_tests::programs::Running;
use onionbalance_tests::wait::until;

use onionbalance_tests::pair::{Pair, Place, SOON};

/// The new name of a rotated log file.
const LARGE: u64 = 10 * 1024 * 1024;

#[needs_root]
#[test]
fn it_finds_tor_again_and_keeps_its_log_and_its_status() -> Result<()> {
    let pair = Pair::start()?;
    let (balancer, log) = (&pair.balancer, pair.place.path("balancer/log"));
    let lost = |times| wait_times(balancer, "connected to tor", times);

    // A restarted tor has another cookie.
    pair.place.tor.renew_cookie(2)?;
    pair.place.tor.hang_up();
    lost(2)?;

    let moved = pair.place.path("moved");
    fs::rename(&log, moved)?;
    pair.place.tor.hang_up();
    lost(3)?;
    wait_holds(&log, "connected to tor")?;

    File::options().append(true).open(&log)?.set_len(LARGE)?;
    pair.place.tor.hang_up();
    lost(4)?;
    ensure!(fs::metadata(pair.place.path("balancer/log.1"))?.len() == LARGE);

    let mut status = String::new();
    UnixStream::connect(pair.place.path("balancer/status"))?.read_to_string(&mut status)?;
    ensure!(status.contains("y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad"), "{status}");

    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("reloaded config.yaml", SOON)?;
    balancer.signal(Signal::SIGTERM)?;
    ensure!(balancer.wait_exit(SOON)?.code() == Some(0), "{}", balancer.failure("ended badly"));
    ensure!(!pair.place.path("balancer/status").exists());
    Ok(())
}

#[needs_root]
#[test]
fn it_looks_hosts_up_by_their_names() -> Result<()> {
    let place = Place::for_two()?;
    let _signer = place.signer()?;
    // Connections that end at once. Every attempt looks the address up again.
    let listener = TcpListener::bind("localhost:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port().to_string();
    for (host, attempts) in [("localhost", 2), ("no-such-host.invalid", 0)] {
        let mut command = place.balancer_command(["-i", host])?;
        command.args(["-p", &port]);
        let balancer = place.start(command, host)?;
        for _ in 0..attempts {
            until(SOON, || Ok(listener.accept().ok()))?;
        }
        if attempts == 0 {
            let refused = format!("cannot connect to tor's control port {host}:{port}: ");
            wait_times(&balancer, &refused, 1)?;
        }
        balancer.signal(Signal::SIGTERM)?;
        ensure!(balancer.wait_exit(SOON)?.code() == Some(0), "{}", balancer.failure("ended badly"));
    }
    Ok(())
}

#[needs_root]
#[test]
fn it_ends_with_the_signer_that_it_has_started() -> Result<()> {
    let place = Place::new("")?;
    let balancer = place.balancer()?;
    let signer = child(&balancer)?;
    nix::sys::signal::kill(signer, Signal::SIGKILL)?;
    ensure!(balancer.wait_exit(SOON)?.code() == Some(1));
    let log = balancer.output()?;
    ensure!(log.contains(" ERROR the signer that onionbalance has started has ended"), "{log}");
    Ok(())
}

#[needs_root]
#[test]
fn a_signer_that_it_has_started_ends_with_it() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let place = Place::new("")?;
        let balancer = place.balancer()?;
        let signer = child(&balancer)?;
        balancer.signal(signal)?;
        let status = balancer.wait_exit(SOON)?;
        ensure!(signal == Signal::SIGKILL || status.code() == Some(0), "{}", balancer.failure("ended badly"));
        until(SOON, || {
            let stat =
                fs::read_to_string(format!("/proc/{signer}/stat")).unwrap_or_else(|_| ") Z".to_owned());
            Ok(stat.contains(") Z").then_some(()))
        })?;
    }
    Ok(())
}

/// The process id of the signer in the balancer's log.
fn child(balancer: &Running) -> Result<Pid> {
    let line = balancer.wait_line("started a signer", SOON)?;
    Ok(Pid::from_raw(line.rsplit_once("pid=").context("the signer has a pid")?.1.parse()?))
}

fn wait_times(balancer: &Running, text: &str, times: usize) -> Result<()> {
    let enough = |log: &str| (log.matches(text).count() >= times).then_some(());
    balancer.wait_output(&format!("{text:?} less than {times} times"), SOON, enough)
}

fn wait_holds(file: &Path, text: &str) -> Result<()> {
    until(SOON, || Ok(fs::read_to_string(file).is_ok_and(|found| found.contains(text)).then_some(())))
}
