//! Both programs as the package starts them: the signer on a socket, the balancer as a user who may read no key.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use onionbalance_tests::programs::Programs;

use crate::observer::Observer;
use crate::site::{HASHED_PASSWORD, SOON, Site, backends, network, wait_published};

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn publishes_and_every_backend_answers() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let root = Uid::effective().is_root();
    let mut more = "signer-socket-location: run/signer\nsigner-allowed-uids: [65534]\n\
         tor-control-password: loopback\nstate-file-location: state/state.json\n"
        .to_owned();
    if root {
        more += "signer-user: daemon\n";
    }
    let site = Site::new(network, "production", &backends, &more)?;
    // As systemd-tmpfiles would: what the signer makes in there belongs to the balancer's group.
    let run = site.path("run");
    DirBuilder::new().mode(0o750).create(&run)?;
    fs::create_dir(site.path("state"))?;
    if root {
        chown(site.path("state"), Some(NOBODY), None)?;
        let daemon = User::from_name("daemon")?.context("there is no user daemon")?;
        chown(&run, Some(daemon.uid.as_raw()), Some(NOBODY))?;
        fs::set_permissions(&run, Permissions::from_mode(0o2750))?;
    }
    let observer = Observer::new(network)?;
    observer.client.control()?.send(&format!("SETCONF HashedControlPassword=\"{HASHED_PASSWORD}\""))?;

    let signer = site.signer()?;
    assert_eq!(fs::metadata(run.join("signer"))?.mode() & 0o777, 0o660);
    let program = site.copy(&Programs::build()?.balancer)?;
    let mut command = site.balancer_command(&program, observer.client.tor())?;
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let balancer = site.start(&mut command, "balancer")?;

    wait_published(&balancer)?;
    site.visit_all(&network.new_tor_client()?, &["backend-0", "backend-1", "backend-2"])?;
    observer.wait_current(&site.address, &backends, &observer)?;

    balancer.signal(Signal::SIGTERM)?;
    assert_eq!(balancer.wait_exit(SOON)?.code(), Some(0));
    let state = fs::read_to_string(site.path("state/state.json"))?;
    assert!(backends.iter().all(|backend| state.contains(&backend.to_string())), "{state}");

    // Nothing went wrong on the way, and everything signed was asked for by that user.
    let log = balancer.output()?;
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    let log = signer.output()?;
    assert!(!log.contains("<3>") && !log.contains("<4>"), "{log}");
    if root {
        assert!(log.contains("uid=65534"), "{log}");
    }
    Ok(())
}
