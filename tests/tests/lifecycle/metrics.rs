//! The TCP port of the metrics.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_tests::pair::{MADE_UP_TOR, Place, SOON};
use onionbalance_tests::provision::promtool;

#[needs_root]
#[test]
fn prometheus_reads_the_names_and_the_numbers_of_services_and_nothing_else() -> Result<()> {
    let place = Place::for_two()?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = taken.local_addr()?;
    let file = place.path("config.yaml");
    writeln!(OpenOptions::new().append(true).open(&file)?, "metrics-listen: {port}")?;
    let line = fs::read_to_string(&file)?.lines().count();

    let refused = place.start(place.balancer_command(MADE_UP_TOR)?, "refused")?;
    ensure!(refused.wait_exit(SOON)?.code() == Some(1));
    let wanted =
        format!("config.yaml:{line}: metrics-listen: cannot listen at {port}: Address already in use");
    ensure!(refused.output()?.contains(&wanted), "{}", refused.output()?);
    drop(taken);

    let (_signer, balancer) = (place.signer()?, place.balancer()?);
    let metrics = get(port, "/metrics")?;
    let (head, body) = metrics.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4;"), "{head}");
    ensure!(body.contains("\nonionbalance_service_backends{service=\"s1\"} 1"), "{body}");
    ensure!(!body.contains(".onion"), "{body}");
    fs::write(place.path("scraped"), body)?;
    let judged = promtool()?.args(["check", "metrics"]).stdin(File::open(place.path("scraped"))?).output()?;
    ensure!(judged.status.success() && judged.stderr.is_empty(), "{judged:?}\n{body}");
    ensure!(get(port, "/status")?.starts_with("HTTP/1.1 404 "));

    let text = fs::read_to_string(&file)?.replace(&format!("metrics-listen: {port}\n"), "");
    fs::write(&file, text)?;
    balancer.signal(Signal::SIGHUP)?;
    balancer.wait_line("metrics-listen takes effect at the next restart of onionbalance", SOON)?;
    ensure!(get(port, "/metrics")?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

/// The response to a request as Prometheus sends it.
fn get(port: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(port).with_context(|| format!("nobody listens at {port}"))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {port}\r\nAccept: text/plain;version=0.0.4\r\nAccept-Encoding: gzip\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
