//! A control port that refuses the balancer: the balancer logs one line with the remedy, and ends.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use onionbalance_tests::programs::{Programs, Running};

use super::site::{HASHED_PASSWORD, SOON, Site, backends, network};

#[test]
fn a_password_is_asked_for_checked_and_used() -> Result<()> {
    let network = network()?;
    let tor = network.new_tor_client()?;
    let settings = format!("SETCONF CookieAuthentication=0 HashedControlPassword=\"{HASHED_PASSWORD}\"");
    tor.control()?.send(&settings)?;
    let site = Site::new(network, "control_port", &backends(network)?, "")?;
    let refused = site.balancer(tor.tor())?;
    assert_refused(
        &refused,
        "tor's control port wants a password: set `tor-control-password` in the configuration, or \
         `CookieAuthentication 1` in tor's torrc",
    )?;

    let mut config = OpenOptions::new().append(true).open(site.path("config.yaml"))?;
    writeln!(config, "tor-control-password: loopback")?;
    let mut command = site.balancer_command(&Programs::build()?.balancer, tor.tor())?;
    command.env("ONIONBALANCE_TOR_CONTROL_PASSWORD", "hunter2");
    let refused = site.start(&mut command, "balancer")?;
    assert_refused(
        &refused,
        "tor did not accept the password: it is not the one whose hash is `HashedControlPassword` in tor's torrc",
    )?;
    assert!(!refused.output()?.contains("hunter2"));

    let accepted = site.balancer(tor.tor())?;
    accepted.wait_line("tor is ready", SOON)?;
    accepted.signal(Signal::SIGTERM)?;
    assert_eq!(accepted.wait_exit(SOON)?.code(), Some(0));
    assert!(!accepted.output()?.contains("loopback"));
    Ok(())
}

#[test]
fn a_tor_that_is_too_old_is_named() -> Result<()> {
    let network = network()?;
    let site = Site::new(network, "control_port", &backends(network)?, "")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port().to_string();
    let tor = thread::spawn(move || -> Result<Vec<String>> {
        let mut asked = Vec::new();
        // The first connection is before the balancer confines itself, the second after.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept()?;
            let mut lines = BufReader::new(stream.try_clone()?).lines();
            asked.push(lines.next().context("nothing was asked")??);
            let auth = "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n";
            write!(stream, "{auth}250-VERSION Tor=\"0.4.5.10\"\r\n250 OK\r\n")?;
            // Reads until the balancer closes the connection.
            asked.extend(lines.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(asked)
    });
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-p", &port]).arg("-c").arg(site.path("config.yaml"));
    let refused = site.start(&mut command, "balancer-of-old-tor")?;
    assert_refused(
        &refused,
        "this tor is 0.4.5.10; version 0.4.7.0 or newer is needed for v3 onion services",
    )?;
    let asked = tor.join().map_err(|_| anyhow::anyhow!("the old tor panicked"))??;
    assert_eq!(asked, ["PROTOCOLINFO 1"; 2]);
    Ok(())
}

#[test]
fn tors_socks_port_is_not_its_control_port() -> Result<()> {
    let network = network()?;
    let visitor = network.new_tor_client()?;
    let site = Site::new(network, "control_port", &backends(network)?, "")?;
    let socks = visitor.socks_address();
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-p", &socks.port().to_string()]).arg("-c").arg(site.path("config.yaml"));
    let refused = site.start(&mut command, "balancer-at-socks-port")?;
    assert_refused(
        &refused,
        &format!(
            "{socks} is not tor's control port (it answered `HTTP/1.0 501 Tor is not an HTTP Proxy`): name the \
             `ControlSocket` or `ControlPort` that is in tor's torrc"
        ),
    )
}

/// Asserts that the balancer ends with one error, which is its last line, and was never authenticated.
fn assert_refused(balancer: &Running, error: &str) -> Result<()> {
    let status = balancer.wait_exit(SOON)?;
    let log = balancer.output()?;
    assert_eq!(status.code(), Some(1), "{log}");
    // The child signer, with times without fractions of seconds, logs the end of its connection.
    let is_balancers = |line: &&str| line.split_once(' ').is_some_and(|(time, _)| time.contains('.'));
    let last = log.lines().rfind(is_balancers).context("nothing was said")?;
    assert!(last.ends_with(&format!(" ERROR {error}")), "{log}\nwanted {error}");
    let warns = |line: &&str| line.contains(" ERROR ") || line.contains(" WARN ");
    let unexpected = log.lines().filter(is_balancers).filter(warns);
    let unexpected = unexpected.filter(|line| !line.contains("running as root"));
    assert_eq!(unexpected.count(), 1, "{log}");
    assert!(!log.contains("connected to tor"), "{log}");
    Ok(())
}
