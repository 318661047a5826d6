//! SIGHUP: a new configuration is applied completely or not at all.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use onionbalance_tests::programs::{Programs, Running};

use super::observer::Observer;
use super::site::{SOON, Site, backends, network, wait_published};

const WITH_SOCKET: &str =
    "signer-socket-location: signer\nstatus-socket-location: status\nstate-file-location: state.json\n";

/// Sends SIGHUP, and waits for a new line of `program`.
fn reload(program: &Running, answer: &str) -> Result<String> {
    let before = program.output()?.matches(answer).count();
    program.signal(Signal::SIGHUP)?;
    program.wait_output(&format!("no new line with {answer:?}"), SOON, |output| {
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut said = whole.lines().filter(|line| line.contains(answer));
        said.nth(before).map(str::to_owned)
    })
}

/// The output of `onionbalance drain` or `enable`, which finds the socket by the configuration.
fn control(site: &Site, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(&Programs::build()?.balancer);
    let output = command.args(arguments).arg("-c").arg(site.path("config.yaml")).env_clear().output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn backends_come_and_go_and_a_bad_file_changes_nothing() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let (first, last) = (&backends[..2], &backends[1..]);
    let site = Site::new(network, "reload", first, WITH_SOCKET)?;
    let observer = Observer::new(network)?;
    let signer = site.signer()?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    observer.wait_current(&site.address, first, &observer)?;

    // The signer has not reloaded yet.
    site.set_backends(last, WITH_SOCKET)?;
    let refused = reload(&balancer, "reload refused")?;
    assert!(refused.contains("config.yaml:2: the signer does not know"), "{refused}");
    assert!(refused.contains(&backends[2].to_string()) && refused.contains("SIGHUP"), "{refused}");

    reload(&signer, "reloaded ")?;
    let read = reload(&balancer, "reloaded ")?;
    assert!(read.contains("services=1 backends=2"), "{read}");
    observer.wait_current(&site.address, last, &observer)?;

    // The signer has no part in weights, and does not reload.
    let drained = format!(
        "services:\n- key: front.pem\n  instances:\n  - address: {}\n    weight: 0\n  - address: {}\n{WITH_SOCKET}",
        last[0], last[1]
    );
    site.configure(drained)?;
    let balancing = reload(&balancer, "balancing ")?;
    assert!(balancing.contains("backends=2 drained="), "{balancing}");
    observer.wait_current(&site.address, &last[1..], &observer)?;
    site.set_backends(last, WITH_SOCKET)?;
    reload(&balancer, "reloaded ")?;
    observer.wait_current(&site.address, last, &observer)?;

    // The same by command. A restart keeps it.
    let drained = control(&site, &["drain", &last[0].to_string(), "--for", "1h"])?;
    assert!(
        drained.contains(": drained until ") && drained.ends_with("; 1 of 2 backends serve\n"),
        "{drained}"
    );
    observer.wait_current(&site.address, &last[1..], &observer)?;
    balancer.signal(Signal::SIGTERM)?;
    balancer.wait_exit(SOON)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    observer.wait_current(&site.address, &last[1..], &observer)?;
    let enabled = control(&site, &["enable", &last[0].to_string()])?;
    assert!(enabled.ends_with(": enabled; 2 of 2 backends serve\n"), "{enabled}");
    observer.wait_current(&site.address, last, &observer)?;

    for (text, problem) in [
        ("services: [\n".to_owned(), "config.yaml:"),
        (
            format!(
                "services:\n- key: front.pem\n  instances:\n  - address: {}\n    weight: 0\n{WITH_SOCKET}",
                last[0]
            ),
            "every instance of the service with the key front.pem has `weight: 0`",
        ),
        (
            format!("services:\n- key: other.pem\n  instances:\n  - address: {}\n{WITH_SOCKET}", last[0]),
            "the signer does not hold the key other.pem",
        ),
    ] {
        fs::write(site.path("config.yaml"), text)?;
        let refused = reload(&balancer, "reload refused")?;
        assert!(refused.contains(problem), "{refused}\nwanted {problem}");
    }
    fs::remove_file(site.path("config.yaml"))?;
    let refused = reload(&balancer, "reload refused")?;
    assert!(refused.contains("cannot be read"), "{refused}");

    // The last valid configuration is still in use.
    observer.wait_current(&site.address, last, &observer)?;
    network.new_tor_client()?.get(&site.address, 80, "/")?;
    assert_eq!(balancer.output()?.matches("connected to tor").count(), 1, "{}", balancer.output()?);
    Ok(())
}

#[test]
fn a_signer_of_our_own_is_told() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "reload_child", &backends[..1], "")?;
    let observer = Observer::new(network)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    site.set_backends(&backends, "")?;
    reload(&balancer, "reloaded ")?;
    observer.wait_current(&site.address, &backends, &observer)?;
    assert_eq!(balancer.output()?.matches("started a signer").count(), 1);
    Ok(())
}
