//! Both programs as in the package: the signer on a socket, and each program as a user of its own. The
//! balancer's user cannot read the key.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::process::Command;

use anyhow::{Context, Result};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use nix::unistd::User;
use onionbalance_tests::programs::Running;
use onionbalance_tests::wait::until;

use super::observer::Observer;
use super::secrets::Secrets;
use super::site::{HASHED_PASSWORD, SOON, Site, backends, network, wait_published};

/// The balancer's user, without files.
const NOBODY: u32 = 65_534;

const USERS: &str = "\
signer-socket-location: run/signer
signer-allowed-uids: [65534]
signer-user: daemon
user: nobody
state-file-location: state/state.json
tor-control-password: loopback
";

#[needs_root]
#[test]
fn publishes_and_every_backend_answers() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "production", &backends, USERS)?;
    // Made as by systemd-tmpfiles: the signer's files in it get the balancer's group.
    let run = site.path("run");
    DirBuilder::new().mode(0o750).create(&run)?;
    let daemon = User::from_name("daemon")?.context("there is no user daemon")?;
    chown(&run, Some(daemon.uid.as_raw()), Some(NOBODY))?;
    fs::set_permissions(&run, Permissions::from_mode(0o2750))?;
    fs::create_dir(site.path("state"))?;
    chown(site.path("state"), Some(NOBODY), None)?;
    let observer = Observer::new(network)?;
    observer.client.control()?.send(&format!("SETCONF HashedControlPassword=\"{HASHED_PASSWORD}\""))?;

    let signer = site.signer()?;
    assert_eq!(fs::metadata(run.join("signer"))?.mode() & 0o777, 0o660);
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    site.visit_all(&network.new_tor_client()?, &["backend-0", "backend-1", "backend-2"])?;
    observer.wait_current(&site.address, &backends, &observer)?;
    expect_no_secret(&site, &observer, [&signer, &balancer])?;

    balancer.signal(Signal::SIGTERM)?;
    assert_eq!(balancer.wait_exit(SOON)?.code(), Some(0));
    let state = fs::read_to_string(site.path("state/state.json"))?;
    assert!(backends.iter().all(|backend| state.contains(&backend.to_string())), "{state}");

    // Nothing was refused, and only that user requested signatures.
    let log = balancer.output()?;
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    let log = signer.output()?;
    assert!(!log.contains(" ERROR ") && !log.contains(" WARN "), "{log}");
    assert!(log.contains("uid=65534"), "{log}");
    Ok(())
}

/// Asserts that no part of the frontend's key is in the readable memory or in the log of either program.
fn expect_no_secret(site: &Site, observer: &Observer, programs: [&Running; 2]) -> Result<()> {
    let period = observer.directory()?.fetch(&site.address).0;
    let secrets = Secrets::of(site.key.signing_key(), &site.address, period);
    for program in programs {
        secrets.expect_hidden(program)?;
    }
    // The search finds an existing secret.
    let mut holder = Command::new("sleep");
    holder.arg("1000").env("KEY", OsStr::from_bytes(site.key.signing_key().as_bytes()));
    let holder = site.start(&mut holder, "holder")?;
    until(SOON, || Ok((secrets.in_memory(holder.pid())?.1 == ["seed"]).then_some(())))
        .context("a seed that is there was not found")
}
