//! The signer dies and returns while the balancer runs.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use onionbalance_tests::wait::until;
use serde_json::Value;

use super::observer::Observer;
use super::site::{PUBLISHED, Site, backends, network, wait_published};

#[test]
fn the_next_publication_finds_the_signer_again() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "signer_restart", &backends, "signer-socket-location: signer\n")?;
    let observer = Observer::new(network)?;
    let visitor = network.new_tor_client()?;
    let signer = site.signer()?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer)?;

    signer.kill()?;
    let warning = balancer.wait_line("descriptor not published", PUBLISHED)?;
    assert!(warning.contains(" WARN ") && warning.contains("start onionbalance-signer"), "{warning}");
    let last = observer.newest(&site.address)?.revision;
    // Published descriptors stay on the HSDirs.
    visitor.get(&site.address, 80, "/")?;

    let again = site.signer()?;
    until(PUBLISHED, || Ok((observer.newest(&site.address)?.revision > last).then_some(())))?;
    visitor.restart()?;
    visitor.get(&site.address, 80, "/")?;
    assert!(balancer.exited()?.is_none() && again.exited()?.is_none());
    balancer.wait_line("all descriptors are on all their HSDirs again after", PUBLISHED)?;
    Ok(())
}

/// While the signer is missing, the status keeps showing the time at which an HSDir stored a descriptor, in
/// spite of further tries; and it shows all names.
#[test]
fn the_status_shows_what_was_stored_and_not_what_was_tried() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "status", &backends, "")?;
    let mut yaml = String::from(
        "signer-socket-location: signer\nstatus-socket-location: json\nSTATUS_SOCKET_LOCATION: text\n\
         services:\n- key: front.pem\n  name: shop\n  instances:\n",
    );
    for (number, address) in backends.iter().enumerate() {
        writeln!(yaml, "  - address: {address}\n    name: web{number}")?;
    }
    site.configure(yaml)?;
    let tor = network.new_tor_client()?;
    let signer = site.signer()?;
    let balancer = site.balancer(tor.tor())?;
    wait_published(&balancer)?;
    let log = balancer.output()?;
    assert!(log.contains(&format!("balancing service=shop address={}", site.address)), "{log}");
    assert!(log.contains(&format!("found backend backend=web0 address={}", backends[0])), "{log}");

    signer.kill()?;
    let read = |name: &str| -> Result<String> {
        let mut shown = String::new();
        UnixStream::connect(site.path(name))?.read_to_string(&mut shown)?;
        Ok(shown)
    };
    let json =
        || -> Result<Value> { Ok(serde_json::from_str::<Value>(&read("json")?)?["services"][0].take()) };
    let newest = |service: &Value| {
        let stored = service["descriptors"].as_array()?.iter().filter_map(|one| one["lastStored"].as_str());
        stored.max().map(str::to_owned)
    };
    // In this form a later time is a greater text.
    let service = until(PUBLISHED, || {
        let service = json()?;
        let tried = service["publishAttemptFirstDescriptor"].as_str().map(str::to_owned);
        Ok((tried > newest(&service)).then_some(service))
    })?;
    assert_eq!(service["name"], "shop");
    // Both show the same time, which is computed from its age, and so may be rounded to either second.
    let text = until(PUBLISHED, || {
        let stored = newest(&json()?).context("nothing was stored")?;
        let (text, wanted) = (read("text")?, format!("shop {} {stored}", site.address));
        Ok((text.lines().next() == Some(wanted.as_str())).then_some(text))
    })?;
    let line = text.lines().find(|line| line.starts_with(&format!("  web0 {} ", backends[0])));
    assert!(line.is_some(), "{text}");
    Ok(())
}
