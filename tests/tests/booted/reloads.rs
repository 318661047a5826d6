//! One `systemctl reload onionbalance` reloads both programs.

use std::io::Read;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;
use onionbalance_tests::wait::until;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

#[needs_root]
#[test]
fn ten_of_ten_reloads_change_the_backends() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("reloads")?;
    system.make_key()?;
    let [one, other] = strangers()?;
    system.configure(&[&one])?;
    system.follow("enable --now", &[])?;
    system.wait_property(SIGNER, "ActiveState", "active", SOON)?;
    for number in 0..10 {
        let (comes, goes) = if number % 2 == 0 { (&other, &one) } else { (&one, &other) };
        system.configure(&[comes])?;
        system.follow("reload", &[])?;
        until(SOON, || {
            let shown = status(&system)?;
            Ok((shown.contains(name(comes)) && !shown.contains(name(goes))).then_some(()))
        })
        .with_context(|| {
            let journal = system.journal(BALANCER, "info").unwrap_or_default().join("\n");
            format!("reload {number} was lost: {}\n{journal}", status(&system).unwrap_or_default())
        })?;
    }
    Ok(())
}

fn name(address: &str) -> &str {
    address.trim_end_matches(".onion")
}

/// The output of the status socket at its default path.
fn status(system: &Installed) -> Result<String> {
    let mut shown = String::new();
    let socket = system.path("/run/onionbalance-status/status.sock");
    UnixStream::connect(socket).context("no status socket")?.read_to_string(&mut shown)?;
    Ok(shown)
}
