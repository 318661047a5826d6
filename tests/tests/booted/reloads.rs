//! One `systemctl reload onionbalance` reloads both programs. Then the balancer gets a port for its metrics.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;
use onionbalance_tests::document::Document;
use onionbalance_tests::wait::until;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

/// The longest time from the signer's start until the balancer's status has it. The status changes at a look;
/// after the start there is one every five seconds.
const TOLD: Duration = Duration::from_secs(4);

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
    until(TOLD, || Ok((!system.property(BALANCER, "StatusText")?.contains("the signer")).then_some(())))
        .context("systemctl status waits for a signer that is there")?;
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
    metrics_have_a_port(&system)
}

/// Follows docs/operations.md, and leaves the drop-in out first.
fn metrics_have_a_port(system: &Installed) -> Result<()> {
    system.sh("echo 'metrics-listen: 127.0.0.1:9926' >>/etc/onionbalance/config.yaml")?;
    ensure!(!system.attempt("systemctl restart onionbalance")?.status.success(), "it has the port already");
    ensure!(system.property(BALANCER, "ExecMainStatus")? == "78");
    system.wait_journal(BALANCER, "add the drop-in onionbalance-metrics.conf", SOON)?;
    let blocks = Document::read("docs/operations.md")?.console("Prometheus");
    let block = blocks.iter().find(|block| block.contains("onionbalance-metrics.conf"));
    system.sh(block.context("no block installs the drop-in")?)?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9926)).context("nobody listens")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    ensure!(response.contains("\nonionbalance_reachable 1"), "{response}");
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
