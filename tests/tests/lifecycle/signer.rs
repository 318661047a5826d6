//! The balancer waits for a signer that is missing, not ready, or has another configuration.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::wire::{Header, Reason, Reply, Request, frame};
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, Pair, Place, SOON};

#[needs_root]
#[test]
fn one_that_comes_later_is_waited_for() -> Result<()> {
    let place = Place::for_two()?;
    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "balancer")?;
    let waiting = balancer.wait_line("waiting for the signer", SOON)?;
    ensure!(
        waiting.contains(" WARN waiting for the signer: cannot reach the signer at run/signer: No such file"),
        "{waiting}"
    );
    let _signer = place.signer()?;
    balancer.wait_line("connected to the signer after ", SOON)?;
    balancer.wait_line("connected to tor", SOON)?;
    Ok(())
}

#[needs_root]
#[test]
fn one_that_is_not_ready_is_named_and_left_alone() -> Result<()> {
    let place = Place::for_two()?;
    let listener = UnixListener::bind(place.path("run/signer"))?;
    chown(place.path("run/signer"), Some(BALANCER), None)?;
    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "balancer")?;
    let mut stream = receive(&listener)?;
    let reason = Reason::from("cannot read the key shop.key: permission denied");
    stream.write_all(&frame::encode(&Reply::NotReady(reason))?)?;
    let said = balancer.wait_line("waiting for the signer", SOON)?;
    ensure!(
        said.contains("the signer is not ready: cannot read the key shop.key: permission denied"),
        "{said}"
    );
    // Each request starts the signer again if a service manager holds its socket, so that requests must not
    // follow each other at once.
    listener.set_nonblocking(true)?;
    balancer.signal(Signal::SIGUSR1)?;
    balancer.wait_line("status: waiting for the signer", SOON)?;
    ensure!(listener.accept().is_err(), "it was asked again at once");
    Ok(())
}

/// Accepts a request, and does not answer it.
fn receive(listener: &UnixListener) -> Result<UnixStream> {
    let (mut stream, _) = listener.accept()?;
    let mut header = [0; Header::LENGTH];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; Header::decode::<Request>(header)?.body_length()];
    stream.read_exact(&mut body)?;
    Ok(stream)
}

/// Each try fails for the same reason, which is logged once in the first minute.
#[needs_root]
#[test]
fn one_that_fails_again_and_again_is_told_once() -> Result<()> {
    let place = Place::for_two()?;
    let listener = UnixListener::bind(place.path("run/signer"))?;
    chown(place.path("run/signer"), Some(BALANCER), None)?;
    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "balancer")?;
    for _ in 0..3 {
        drop(receive(&listener)?);
    }
    drop(listener);
    fs::remove_file(place.path("run/signer"))?;
    let _signer = place.signer()?;
    balancer.wait_line("connected to the signer after ", SOON)?;
    let log = balancer.output()?;
    ensure!(log.matches("waiting for the signer: the signer closed the connection").count() == 1, "{log}");
    Ok(())
}

/// Services in both configurations are balanced at once, the others after the signer has them.
#[needs_root]
#[test]
fn one_with_another_configuration_is_asked_again() -> Result<()> {
    let place = Place::for_two()?;
    let signer = place.signer()?;
    let file = place.path("config.yaml");
    let both = fs::read_to_string(&file)?;
    let backend = Backend::new(1).address();
    let other = format!("- key: other.pem\n  instances:\n  - address: {backend}\n");
    let (service, rest) = both.split_once("signer-socket-location").unwrap_or((&both, ""));
    fs::write(&file, format!("{service}{other}signer-socket-location{rest}"))?;
    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "balancer")?;
    let missing = balancer.wait_line("the signer does not hold the key other.pem", SOON)?;
    ensure!(
        missing.contains("config.yaml:5: ") && missing.contains("restart onionbalance-signer"),
        "{missing}"
    );
    balancer.wait_line("connected to tor", SOON)?;

    // The new file is the old one, so that no service is missing.
    fs::write(&file, both)?;
    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("reloaded config.yaml", SOON)?;
    balancer.wait_line("the signer holds all keys and allows all backends", SOON)?;
    ensure!(signer.exited()?.is_none());
    Ok(())
}

#[needs_root]
#[test]
fn its_end_and_its_return_are_told() -> Result<()> {
    let Pair { place, signer, balancer } = Pair::start()?;
    signer.kill()?;
    balancer.signal(Signal::SIGHUP)?;
    let refused = balancer.wait_line("reload refused", SOON)?;
    ensure!(refused.contains("cannot reach the signer"), "{refused}");
    let _signer = place.start(place.signer_command()?, "signer-again")?;
    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("connected to the signer again after ", SOON)?;
    balancer.wait_line("reloaded config.yaml", SOON).map(drop)
}
