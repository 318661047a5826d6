//! Both programs accept files of Onionbalance's first version and of 0.1.8 unchanged, up to the connection to
//! tor.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::terminal::AtTerminal;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(40);
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");

/// The first version's own example, with other paths of the keys. The second key is encrypted.
const FIRST_VERSION: &str = "\
refresh: 600 # How often to poll for updated descriptors
services:
    - key: private_key # 7s4hxwwifcslrus2.onion
      instances:
        - address: o6ff73vmigi4oxka # srv1
        - address: nkz23ai6qesuwqhc # srv2
          auth: dCmx3qIvArbil8A0KM4KgQ== # Hidden service authentication key
    - key: private_key.enc # dpkdeys3apjtqydk.onion
      instances:
        - address: htbzowpp5cn7wj2u # srv3
";

/// Every key that 0.1.8 knew.
const UPPER_CASE: &str = "\
REFRESH_INTERVAL: 300
PUBLISH_CHECK_INTERVAL: 360
INITIAL_DELAY: 45
REPLICAS: 2
HSDIR_SET: 3
MAX_INTRO_POINTS: 12
DESCRIPTOR_VALIDITY_PERIOD: 86400
DESCRIPTOR_OVERLAP_PERIOD: 3600
DESCRIPTOR_UPLOAD_PERIOD: 3600
DISTINCT_DESCRIPTORS: False
LOG_LOCATION: onionbalance.log
LOG_LEVEL: warning
STATUS_SOCKET_LOCATION: control
TOR_ADDRESS: 127.0.0.1
TOR_PORT: 1
TOR_CONTROL_PASSWORD: hush
TOR_CONTROL_SOCKET: tor-control
services:
  - key: private_key
    instances:
      - address: o6ff73vmigi4oxka
        name: srv1
      - address: nkz23ai6qesuwqhc
        name: srv2
";

fn place(config: &str) -> Result<TempDir> {
    let place = tempfile::tempdir()?;
    for (key, name) in [("b2.key", "private_key"), ("pem-des3.key", "private_key.enc")] {
        write_secret(&place.path().join(name), fs::read(Path::new(TESTDATA).join(key))?)?;
    }
    fs::write(place.path().join("config.yaml"), config)?;
    Ok(place)
}

#[test]
fn the_first_versions_example_runs() -> Result<()> {
    let place = place(FIRST_VERSION)?;
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-i", "127.0.0.1", "-p", "1", "-c", "config.yaml"]);
    let mut balancer = AtTerminal::start(&command, place.path(), &place.path().join("log"))?;
    assert_eq!(balancer.answer("onion balance v2")?, "Passphrase of the key private_key.enc: ");
    balancer.wait_logged("cannot connect to tor's control port 127.0.0.1:1: ", SOON)
}

#[test]
fn every_key_of_0_1_8_is_taken() -> Result<()> {
    let place = place(UPPER_CASE)?;
    let inside = |name: &str| place.path().join(name);
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-c", "config.yaml"]).current_dir(place.path());
    let balancer = Running::start(&mut command, &inside("stderr"))?;
    // The file determines the place of tor: first the socket, then the port.
    balancer.wait_line("cannot connect to tor's control port unix:tor-control: No such file", SOON)?;
    assert!(fs::symlink_metadata(inside("control"))?.file_type().is_socket());

    balancer.signal(Signal::SIGTERM)?;
    assert_eq!(balancer.wait_exit(SOON)?.code(), Some(0));
    assert!(!inside("control").exists());
    let shown = balancer.output()?;
    // The log file has the lines of standard error without the signer's, and each line has a time of its own.
    let file = fs::read_to_string(inside("onionbalance.log"))?;
    assert!(without_times(&file).eq(without_times(&shown)), "{file}\nand on standard error:\n{shown}");
    for warning in [
        "config.yaml: PUBLISH_CHECK_INTERVAL: has no effect: changes are published when they are seen",
        "config.yaml: MAX_INTRO_POINTS: is reduced to 10: tor's clients refuse descriptors with more",
    ] {
        assert_eq!(shown.matches(warning).count(), 1, "{shown}");
    }
    assert!(!file.contains(" INFO ") && !shown.contains("hush"), "{shown}");
    Ok(())
}

/// Only the balancer's lines: the signer's times have no fractions of seconds.
fn without_times(log: &str) -> impl Iterator<Item = &str> {
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(time, rest)| time.contains('.').then_some(rest))
}

#[test]
fn the_environment_of_0_1_8_is_taken_after_the_file() -> Result<()> {
    let services = UPPER_CASE.split_once("services:").map_or("", |(_, services)| services);
    let place = place(&format!("LOG_LOCATION: file.log\nservices:{services}"))?;
    let inside = |name: &str| place.path().join(name);
    let mut command = Command::new(&Programs::build()?.balancer);
    command.current_dir(place.path());
    for (variable, value) in [
        ("ONIONBALANCE_CONFIG", "config.yaml"),
        ("ONIONBALANCE_LOG_LOCATION", "variable.log"),
        ("ONIONBALANCE_LOG_LEVEL", "error"),
        ("ONIONBALANCE_STATUS_SOCKET_LOCATION", "status"),
        ("ONIONBALANCE_TOR_CONTROL_SOCKET", "variable-control"),
    ] {
        command.env(variable, value);
    }
    command.args(["-v", "warning"]);
    let balancer = Running::start(&mut command, &inside("stderr"))?;
    balancer.wait_line("cannot connect to tor's control port unix:variable-control: No such file", SOON)?;
    assert!(inside("file.log").exists() && !inside("variable.log").exists());
    assert!(fs::symlink_metadata(inside("status"))?.file_type().is_socket());
    Ok(())
}
