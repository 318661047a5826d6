//! The paths and the owners of the status sockets.

use std::fs;
use std::io::Read;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, Pair, Place, SOON};

#[needs_root]
#[test]
fn a_second_balancer_does_not_take_the_socket_over() -> Result<()> {
    let Pair { place, balancer, signer: _signer } = Pair::start()?;
    let second = place.start(place.balancer_command(MADE_UP_TOR)?, "second")?;
    ensure!(second.wait_exit(SOON)?.code() == Some(1));
    let said = second.output()?;
    let wanted = format!("another onionbalance (pid {}) answers at balancer/status", balancer.pid());
    ensure!(said.contains(&wanted), "{said}");

    let mut status = String::new();
    UnixStream::connect(place.path("balancer/status"))?.read_to_string(&mut status)?;
    ensure!(status.contains("\"services\""), "{status}");
    Ok(())
}

#[needs_root]
#[test]
fn the_service_managers_directory_has_one_without_any_setting() -> Result<()> {
    let place = Place::for_two()?;
    let file = place.path("config.yaml");
    fs::write(&file, fs::read_to_string(&file)?.replace("status-socket-location: balancer/status\n", ""))?;
    fs::create_dir(place.path("status"))?;
    chown(place.path("status"), Some(BALANCER), None)?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    command.env("RUNTIME_DIRECTORY", format!("{}:/nonexistent", place.path("status").display()));
    let balancer = place.start(command, "balancer")?;
    balancer.wait_line("waiting for the signer", SOON)?;
    let mut status = String::new();
    UnixStream::connect(place.path("status/status.sock"))?.read_to_string(&mut status)?;
    ensure!(status.contains("\"services\""), "{status}");
    Ok(())
}
