//! The paths and the owners of the status sockets, and `onionbalance status`, which asks there.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, Pair, Place, SOON};
use onionbalance_tests::programs::Programs;
use onionbalance_tests::provision::promtool;

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

#[needs_root]
#[test]
fn a_person_is_shown_the_status() -> Result<()> {
    let Pair { place, balancer, signer: _signer } = Pair::start()?;
    // The made-up tor never gets ready.
    balancer.wait_line("waiting for tor", SOON)?;
    // The configuration names the socket.
    let shown = status(&place, &["-c", "config.yaml"])?;
    let text = String::from_utf8(shown.stdout)?;
    let waiting = "* waiting for tor at unix:tor/control or 127.0.0.1:9051: bootstrapped 5 %, Connecting ";
    ensure!(text.starts_with(waiting), "{text}");
    ensure!(text.contains("\n  tor      starting ") && text.contains(", 0.4.9.11, at 5 %\n"), "{text}");
    ensure!(text.contains("\n  signer   connected  "), "{text}");
    ensure!(shown.status.code() == Some(1), "{text}");

    let quiet = status(&place, &["--socket", "balancer/status", "--quiet", "--wait=0"])?;
    ensure!(quiet.stdout.is_empty() && quiet.status.code() == Some(1), "{quiet:?}");
    let alive = status(&place, &["--socket", "balancer/status", "--alive"])?;
    ensure!(alive.stdout.is_empty() && alive.status.success(), "{alive:?}");
    let json = status(&place, &["--socket", "balancer/status", "--json"])?;
    let report: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    ensure!(
        report["health"] == "starting" && report["services"].as_array().is_some_and(|all| all.len() == 1)
    );
    ensure!(report["tors"][0]["bootstrap"] == 5 && report["tors"][0]["hsdirs"].is_null(), "{report}");
    let file = report["configuration"]["file"].as_str().map(str::to_owned);
    ensure!(file == Some(place.path("config.yaml").display().to_string()), "{report}");
    ensure!(report["process"]["maxResidentBytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{report}");
    let metrics =
        status(&place, &["--socket", "balancer/status", "--prometheus", "--output", "metrics.prom"])?;
    ensure!(metrics.status.success() && metrics.stdout.is_empty(), "{metrics:?}");
    let text = fs::read_to_string(place.path("metrics.prom"))?;
    ensure!(text.contains("\nonionbalance_reachable 1"), "{text}");
    let metrics = File::open(place.path("metrics.prom"))?;
    let judged = promtool()?.args(["check", "metrics"]).stdin(metrics).output()?;
    ensure!(judged.status.success() && judged.stderr.is_empty(), "{judged:?}\n{text}");
    let page = status(&place, &["--socket", "balancer/status", "--html", "-"])?;
    ensure!(page.stdout.starts_with(b"<!DOCTYPE html>") && page.status.code() == Some(1), "{page:?}");
    let none = status(&place, &["--socket", "balancer/status", "forum"])?;
    ensure!(none.status.code() == Some(3), "{none:?}");
    ensure!(status(&place, &["--sockets"])?.status.code() == Some(3));

    balancer.signal(nix::sys::signal::Signal::SIGTERM)?;
    balancer.wait_exit(SOON)?;
    let gone = status(&place, &["--socket", "balancer/status"])?;
    let text = String::from_utf8(gone.stdout)?;
    ensure!(text.starts_with("* unknown: nobody answers at balancer/status\n  is it running?"), "{text}");
    ensure!(gone.status.code() == Some(3), "{text}");
    let dead = status(&place, &["--socket", "balancer/status", "--alive"])?;
    ensure!(dead.stdout.is_empty() && dead.status.code() == Some(3), "{dead:?}");
    Ok(())
}

#[needs_root]
#[test]
fn the_end_of_a_delegation_is_shown() -> Result<()> {
    let place = Place::for_two()?;
    write_secret(&place.path("passphrase"), "of the delegation\n")?;
    let mut delegate = Command::new(&Programs::build()?.key);
    delegate.args(["delegate", "--key", "front.pem", "--periods", "2", "-o", "delegation"]);
    delegate.args(["--new-passphrase-file", "passphrase"]).current_dir(place.path(""));
    ensure!(delegate.output()?.status.success());
    fs::rename(place.path("delegation"), place.path("front.pem"))?;
    let mut signer = place.signer_command()?;
    signer.args(["--passphrase-file", "passphrase"]);
    let signer = place.start(signer, "signer")?;
    signer.wait_line("listening on", SOON)?;
    let _balancer = place.balancer()?;

    let json = status(&place, &["--socket", "balancer/status", "--json"])?;
    let report: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    ensure!(report["services"][0]["delegationEnds"].is_string(), "{report}");
    let metrics = status(&place, &["--socket", "balancer/status", "--prometheus"])?;
    let metrics = String::from_utf8(metrics.stdout)?;
    let end = "\nonionbalance_service_delegation_end_timestamp_seconds{service=\"s1\"} ";
    ensure!(metrics.contains(end), "{metrics}");
    Ok(())
}

fn status(place: &Place, options: &[&str]) -> Result<Output> {
    let mut command = Command::new(&Programs::build()?.balancer);
    command.arg("status").args(options).current_dir(place.path("")).env_clear();
    command.output().context("onionbalance status")
}
