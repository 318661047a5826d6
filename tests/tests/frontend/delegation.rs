//! A frontend without its key: the signer has a delegation, until that ends.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use onionbalance_proto::time::UnixTime;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;

use super::observer::Observer;
use super::site::{SOON, Site, backends, network, wait_published};

/// A period on this network, in minutes.
const PERIOD: u64 = 6;
/// The longest time until a descriptor is signed again: the period or the shared-random value changes every
/// three minutes.
const CHANGE: Duration = Duration::from_mins(4);

#[test]
fn is_published_from_a_delegation_until_that_ends_and_from_the_next_one() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "delegation", &backends, "signer-socket-location: signer\n")?;
    // This file is for the machine without network: it is removed after the delegations were issued.
    fs::rename(site.path("front.pem"), site.path("identity.pem"))?;
    site.write_secret("passphrase", "of the delegation\n")?;
    let long_ago = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 20 * PERIOD * 60);
    delegate(&site, "ended", &["--periods", "4", "--from", &long_ago.to_string()])?;
    delegate(&site, "first", &["--periods", "3"])?;
    delegate(&site, "second", &["--periods", "30"])?;
    fs::remove_file(site.path("identity.pem"))?;

    let observer = Observer::new(network)?;
    let signer = signer(&site, "first")?;
    signer.wait_line("the delegation for", SOON)?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;
    site.visit_all(&network.new_tor_client()?, &["backend-0", "backend-1", "backend-2"])?;
    observer.wait_current(&site.address, &backends, &observer)?;

    signer.kill()?;
    let ended = self::signer(&site, "ended")?;
    let told = ended.wait_line("the delegation for", SOON)?;
    ensure!(told.contains(" WARN ") && told.contains(" ended at "), "{told}");
    let refused = balancer.wait_line("the key is a delegation that does not cover the period", CHANGE)?;
    ensure!(refused.contains(" WARN ") && refused.contains("onionbalance-key delegate"), "{refused}");
    let last = observer.newest(&site.address)?.revision;

    ended.kill()?;
    let again = self::signer(&site, "second")?;
    until(CHANGE, || Ok((observer.newest(&site.address)?.revision > last).then_some(())))?;
    network.new_tor_client()?.get(&site.address, 80, "/")?;
    ensure!(balancer.exited()?.is_none() && again.exited()?.is_none());
    Ok(())
}

/// Issues a delegation.
fn delegate(site: &Site, name: &str, arguments: &[&str]) -> Result<()> {
    let length = PERIOD.to_string();
    let output = Command::new(&Programs::build()?.key)
        .args(["delegate", "--period-length", &length, "--new-passphrase-file"])
        .arg(site.path("passphrase"))
        .arg("--key")
        .arg(site.path("identity.pem"))
        .arg("-o")
        .arg(site.path(name))
        .args(arguments)
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{log}");
    let address = String::from_utf8(output.stdout)?;
    ensure!(address.starts_with(&site.address.to_string()), "{address}");
    Ok(())
}

/// Starts the signer with this delegation instead of the key.
fn signer(site: &Site, delegation: &str) -> Result<Running> {
    fs::copy(site.path(delegation), site.path("front.pem")).context("the delegation is there")?;
    let mut command = Command::new(&Programs::build()?.signer);
    command.arg("-c").arg(site.path("config.yaml"));
    command.arg("--passphrase-file").arg(site.path("passphrase"));
    let signer = site.start(&mut command, &format!("signer-{delegation}"))?;
    signer.wait_line("listening on", SOON)?;
    Ok(signer)
}
