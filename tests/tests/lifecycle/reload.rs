//! SIGHUP: a reload is complete or has no effect, and follows the signer's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::pair::{Pair, Place, SOON};

/// Adds a backend to the only service; returns its address.
fn add_backend(place: &Place) -> Result<String> {
    let file = place.path("config.yaml");
    let text = fs::read_to_string(&file)?;
    let (only, rest) = text.split_once("kenl5sid\n").context("the service's backend")?;
    let added = Backend::new(1).address().to_string();
    fs::write(&file, format!("{only}kenl5sid\n  - address: {added}\n{rest}"))?;
    Ok(added)
}

fn append(place: &Place, lines: &str) -> Result<()> {
    let file = place.path("config.yaml");
    Ok(fs::write(&file, fs::read_to_string(&file)? + lines)?)
}

/// A service manager signals both at once, and either may be first.
#[needs_root]
#[test]
fn it_waits_for_the_signer_to_read_the_same_file() -> Result<()> {
    let Pair { place, signer, balancer } = Pair::start()?;
    add_backend(&place)?;
    signer.signal(Signal::SIGSTOP)?;
    signer.signal(Signal::SIGHUP)?;
    balancer.signal(Signal::SIGHUP)?;
    // The request is sent before the signer continues.
    balancer.signal(Signal::SIGUSR2)?;
    signer.signal(Signal::SIGCONT)?;
    let read = balancer.wait_line("reloaded config.yaml", SOON)?;
    ensure!(read.contains("services=1 backends=2"), "{read}");
    ensure!(!balancer.output()?.contains("reload refused"), "{}", balancer.output()?);
    Ok(())
}

#[needs_root]
#[test]
fn it_is_refused_where_the_signer_is_not_told() -> Result<()> {
    let Pair { place, balancer, signer: _signer } = Pair::start()?;
    let added = add_backend(&place)?;
    balancer.signal(Signal::SIGHUP)?;
    let refused = balancer.wait_line("reload refused, still running the previous configuration: ", SOON)?;
    ensure!(refused.contains(&format!("config.yaml:2: the signer does not know {added}")), "{refused}");
    Ok(())
}

/// A signer keeps its keys until its end.
#[needs_root]
#[test]
fn what_a_child_refuses_is_refused() -> Result<()> {
    let place = Place::new("")?;
    let file = place.path("config.yaml");
    let one = fs::read_to_string(&file)?;
    write_secret(&place.path("other.pem"), KeyV3::named("other").pem()?)?;
    append(&place, &format!("- key: other.pem\n  instances:\n  - address: {}\n", Backend::new(1).address()))?;
    let balancer = place.balancer()?;
    fs::write(&file, one)?;
    balancer.signal(Signal::SIGHUP)?;
    let refused = balancer.wait_line("the signer still holds the key other.pem", SOON)?;
    ensure!(
        refused.contains("reload refused, still running the previous configuration: config.yaml: "),
        "{refused}"
    );
    ensure!(!balancer.output()?.contains("reloaded "), "{}", balancer.output()?);
    Ok(())
}

/// The signer would still sign for a removed backend, so the operator is warned.
#[needs_root]
#[test]
fn a_signer_that_still_allows_more_is_named() -> Result<()> {
    let place = Place::for_two()?;
    let one = fs::read_to_string(place.path("config.yaml"))?;
    let removed = add_backend(&place)?;
    let (_signer, balancer) = (place.signer()?, place.balancer()?);
    fs::write(place.path("config.yaml"), one)?;
    balancer.signal(Signal::SIGHUP)?;
    let warning = balancer.wait_line("the signer still allows ", SOON)?;
    ensure!(warning.contains(" WARN config.yaml:2: ") && warning.contains(&removed), "{warning}");
    balancer.wait_line("reloaded config.yaml", SOON).map(drop)
}

/// Otherwise the balancer would request points of a backend that the signer does not allow, and every request
/// would be refused.
#[needs_root]
#[test]
fn a_signer_that_took_what_was_refused_is_followed() -> Result<()> {
    let place = Place::for_two()?;
    let one = fs::read_to_string(place.path("config.yaml"))?;
    let removed = add_backend(&place)?;
    let (signer, balancer) = (place.signer()?, place.balancer()?);
    fs::write(
        place.path("config.yaml"),
        one.replace("- key: front.pem\n", "- key: front.pem\n  tor: 127.0.0.1:9\n"),
    )?;
    signer.signal(Signal::SIGHUP)?;
    signer.wait_line("reloaded config.yaml", SOON)?;
    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("reload refused", SOON)?;
    let left_out = balancer.wait_line(&format!("the signer does not know {removed}"), SOON)?;
    ensure!(left_out.contains(" WARN "), "{left_out}");
    balancer.wait_line("backends=1", SOON).map(drop)
}

#[needs_root]
#[test]
fn a_file_that_is_none_is_not_waited_for() -> Result<()> {
    let Pair { place, balancer, signer } = Pair::start()?;
    let file = place.path("config.yaml");
    fs::rename(&file, place.path("config.old"))?;
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644))?;
    for program in [&signer, &balancer] {
        program.signal(Signal::SIGHUP)?;
        let refused = program.wait_line("reload refused", SOON)?;
        ensure!(refused.contains("config.yaml: cannot be read: it is not a file"), "{refused}");
    }
    Ok(())
}

/// A child with the new file would refuse the balancer's requests from the old one.
#[needs_root]
#[test]
fn a_child_is_not_told_of_what_is_refused() -> Result<()> {
    let place = Place::new("")?;
    let balancer = place.balancer()?;
    add_backend(&place)?;
    // A control port that this process has given up.
    let file = place.path("config.yaml");
    fs::write(&file, fs::read_to_string(&file)? + "  tor: 127.0.0.1:9\n")?;
    balancer.signal(Signal::SIGHUP)?;
    let refused = balancer.wait_line("reload refused", SOON)?;
    ensure!(refused.contains("127.0.0.1:9 is a control port that onionbalance has given up"), "{refused}");

    let text = fs::read_to_string(&file)?.replace("  tor: 127.0.0.1:9\n", "");
    fs::write(&file, text)?;
    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("reloaded config.yaml", SOON)?;
    // The signer's own lines, one for each signal.
    let told = balancer.output()?.matches("2 backends").count();
    ensure!(told == 1, "the signer was told {told} times: {}", balancer.output()?);
    Ok(())
}

#[needs_root]
#[test]
fn what_takes_a_restart_is_told_and_hinders_nothing_else() -> Result<()> {
    let Pair { place, signer, balancer } = Pair::start()?;
    add_backend(&place)?;
    append(&place, "state-file-location: balancer/state\nLOG_LEVEL: debug\nLOG_ADDRESSES: none\n")?;
    signer.signal(Signal::SIGHUP)?;
    balancer.signal(Signal::SIGHUP)?;
    let warning = balancer.wait_line("takes effect at the next restart", SOON)?;
    ensure!(warning.contains(" WARN state-file-location takes effect at the next restart of onionbalance"));
    let read = balancer.wait_line("reloaded config.yaml", SOON)?;
    ensure!(read.contains("backends=2"), "{read}");
    // The new level is used: the loss of tor's connection, and the new attempts, log much at this level.
    place.tor.hang_up();
    balancer.wait_line(" DEBUG ", SOON)?;
    // The service and its backends have no names.
    balancer.wait_line("balancing service=s1 backends=2", SOON)?;
    balancer.signal(Signal::SIGUSR1)?;
    balancer.wait_line("status:   b1 ", SOON)?;
    let log = balancer.output()?;
    let hidden = log.split_once("takes effect at the next restart").context("a warning")?.1;
    ensure!(!hidden.contains(".onion"), "{hidden}");
    Ok(())
}

/// Root reads the configuration at the start; the programs' users cannot read it at a reload.
#[needs_root]
#[test]
fn a_configuration_that_a_reload_cannot_read_is_told_at_the_start() -> Result<()> {
    let place = Place::for_two()?;
    fs::set_permissions(place.path("config.yaml"), Permissions::from_mode(0o600))?;
    let signer = place.signer()?;
    let balancer = place.balancer()?;
    for program in [&signer, &balancer] {
        let log = program.output()?;
        ensure!(
            log.contains("SIGHUP will be refused: config.yaml: cannot be read: Permission denied"),
            "{log}"
        );
        program.signal(Signal::SIGHUP)?;
        program.wait_line("reload refused, still running the previous configuration: config.yaml", SOON)?;
    }
    Ok(())
}

/// Both programs follow the link through the same directories.
#[needs_root]
#[test]
fn both_read_a_linked_configuration_again() -> Result<()> {
    let place = Place::for_two()?;
    for directory in ["current", "store"] {
        fs::create_dir(place.path(directory))?;
    }
    fs::rename(place.path("config.yaml"), place.path("store/config.yaml"))?;
    symlink("current/config.yaml", place.path("config.yaml"))?;
    symlink("../store/config.yaml", place.path("current/config.yaml"))?;
    let (signer, balancer) = (place.signer()?, place.balancer()?);
    fs::rename(place.path("store/config.yaml"), place.path("current/config.yaml"))?;
    for program in [&signer, &balancer] {
        program.signal(Signal::SIGHUP)?;
        program.wait_line("reloaded config.yaml", SOON)?;
    }
    Ok(())
}
