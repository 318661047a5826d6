//! `onionbalance drain` and `enable`: their socket, its users, and drains over a restart.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_tests::pair::{BALANCER, MADE_UP_TOR, Pair, Place, SIGNER, SOON};
use onionbalance_tests::programs::Programs;

/// The only backend, of which the made-up tor finds nothing.
const BACKEND: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

#[needs_root]
#[test]
fn a_drain_outlives_the_process_until_it_is_ended() -> Result<()> {
    let place = Place::for_two()?;
    let file = place.path("config.yaml");
    fs::write(&file, fs::read_to_string(&file)? + "state-file-location: balancer/state.json\n")?;
    let (_signer, balancer) = (place.signer()?, place.balancer()?);

    let refused = run(&place, &["drain", "web9", "-c", "config.yaml"])?;
    ensure!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{refused:?}");
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(text.starts_with("cannot drain web9: there is no backend web9; there are: 25njq"), "{text}");
    let refused = run(&place, &["drain", BACKEND, "-c", "config.yaml"])?;
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && text.contains("no other backend of "), "{text}");
    ensure!(instance(&place)?["drained"] == false, "a refused drain is in force");

    let drained = run(&place, &["drain", BACKEND, "--for", "2h", "--force", "-c", "config.yaml"])?;
    let text = String::from_utf8_lossy(&drained.stdout);
    ensure!(drained.status.success() && drained.stderr.is_empty(), "{drained:?}");
    ensure!(text.contains(": drained until 20") && text.contains(" UTC; no other one is live"), "{text}");
    balancer.wait_line("drained backend", SOON)?;
    ensure!(fs::read_to_string(place.path("balancer/state.json"))?.contains("\"until\""), "nothing is kept");
    let shown = instance(&place)?;
    ensure!(shown["state"] == "drained" && shown["drainedBy"] == "command", "{shown}");
    ensure!(shown["drainedUntil"].is_string() && shown["weight"] == 1, "{shown}");

    balancer.signal(Signal::SIGTERM)?;
    balancer.wait_exit(SOON)?;
    ensure!(!place.path("balancer/control.sock").try_exists()?, "the socket is left behind");
    let gone = run(&place, &["enable", BACKEND, "-c", "config.yaml"])?;
    let text = String::from_utf8_lossy(&gone.stderr);
    ensure!(gone.status.code() == Some(4), "{gone:?}");
    ensure!(text.contains("nobody answers at balancer/control.sock\n  is it running?"), "{text}");

    let balancer = place.start(place.balancer_command(MADE_UP_TOR)?, "again")?;
    balancer.wait_line("drained backend", SOON)?;
    ensure!(instance(&place)?["drainedUntil"] == shown["drainedUntil"], "the end is another one");
    let enabled = run(&place, &["enable", BACKEND, "-c", "config.yaml"])?;
    ensure!(enabled.status.success() && enabled.stderr.is_empty(), "{enabled:?}");
    balancer.wait_line("enabled backend", SOON)?;
    ensure!(instance(&place)?["drainedBy"].is_null(), "it is still drained");
    ensure!(!fs::read_to_string(place.path("balancer/state.json"))?.contains("drains"), "a drain is kept");
    Ok(())
}

#[needs_root]
#[test]
fn only_root_and_its_own_user_drain_a_backend() -> Result<()> {
    let Pair { place, signer: _signer, balancer: _balancer } = Pair::start()?;
    let socket = place.path("balancer/control.sock");
    let found = fs::symlink_metadata(&socket)?;
    ensure!((found.mode() & 0o777, found.uid()) == (0o600, BALANCER), "{:o}", found.mode());
    let program = place.path("onionbalance");
    // Where this process writes a program, a child that another test starts at that moment keeps it busy.
    let copied = Command::new("cp").arg(&Programs::build()?.balancer).arg(&program).status()?;
    ensure!(copied.success(), "cannot copy the balancer");
    let drain = |user: u32| {
        let mut command = Command::new(&program);
        command.args(["drain", BACKEND, "--force", "--socket"]).arg(&socket);
        command.env_clear().uid(user).gid(BALANCER).output().context("onionbalance drain")
    };
    // A member of the group of the status.
    let refused = drain(SIGNER)?;
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(4) && text.contains("you may not write to "), "{refused:?}");
    // The uid counts, whatever the mode is.
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    let refused = drain(SIGNER)?;
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && text.contains(": only root and the user of "), "{refused:?}");
    ensure!(instance(&place)?["drained"] == false, "a stranger has drained a backend");

    let own = drain(BALANCER)?;
    let text = String::from_utf8_lossy(&own.stderr);
    ensure!(own.status.success() && text.contains("not kept over a restart of onionbalance: "), "{own:?}");
    Ok(())
}

#[needs_root]
#[test]
fn clients_do_not_hold_up_each_other() -> Result<()> {
    let Pair { place, signer: _signer, balancer } = Pair::start()?;
    let connect = || UnixStream::connect(place.path("balancer/control.sock")).context("the control socket");
    let silent = [connect()?, connect()?];
    let mut garbage = connect()?;
    garbage.write_all(b"GET /status HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    garbage.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("{\"refused\":\"this is not a request: "), "{answer}");
    // Two at once: each is judged by itself.
    let start = |arguments: &[&str]| -> Result<_> {
        let mut command = command(&place, arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("onionbalance")
    };
    let drains = [
        start(&["drain", BACKEND, "--force", "--for", "1h", "-c", "config.yaml"])?,
        start(&["drain", BACKEND, "--force", "--for", "2h", "-c", "config.yaml"])?,
    ];
    for drain in drains {
        let done = drain.wait_with_output()?;
        ensure!(done.status.success(), "{done:?}");
    }
    ensure!(instance(&place)?["drainedBy"] == "command", "nothing is drained");
    drop(silent);
    ensure!(balancer.exited()?.is_none(), "{}", balancer.output()?);
    Ok(())
}

#[needs_root]
#[test]
fn a_named_socket_that_cannot_be_made_ends_the_start_and_another_one_does_not() -> Result<()> {
    let place = Place::for_two()?;
    let file = place.path("config.yaml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, format!("{text}control-socket-location: missing/control.sock\n"))?;
    let ended = place.start(place.balancer_command(MADE_UP_TOR)?, "named")?;
    ensure!(ended.wait_exit(SOON)?.code() == Some(1), "{}", ended.output()?);
    let said = ended.output()?;
    ensure!(said.contains("cannot create the control socket missing/control.sock: No such file"), "{said}");

    fs::write(&file, text)?;
    fs::create_dir(place.path("balancer/control.sock"))?;
    let _signer = place.signer()?;
    let balancer = place.balancer()?;
    ensure!(
        balancer.output()?.contains("onionbalance drain and enable do not work"),
        "{}",
        balancer.output()?
    );
    Ok(())
}

/// The backend in the status.
fn instance(place: &Place) -> Result<serde_json::Value> {
    let shown = run(place, &["status", "--json", "-c", "config.yaml"])?;
    let report: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    report.pointer("/services/0/instances/0").cloned().context("the status has no backend")
}

fn run(place: &Place, arguments: &[&str]) -> Result<Output> {
    command(place, arguments)?.output().with_context(|| format!("onionbalance {arguments:?}"))
}

fn command(place: &Place, arguments: &[&str]) -> Result<Command> {
    let program: &Path = &Programs::build()?.balancer;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place.path("")).env_clear();
    Ok(command)
}
