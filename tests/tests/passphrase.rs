//! A signer that the balancer starts asks a person for the passphrase of an encrypted key, who may take his time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;
use onionbalance_tests::programs::Programs;
use onionbalance_tests::wait::until;

/// Longer than the balancer waits for a signer that has answered before.
const SOON: Duration = Duration::from_secs(40);
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");

#[test]
fn the_balancer_waits_for_whoever_types_it() -> Result<()> {
    let place = tempfile::tempdir()?;
    fs::copy(Path::new(TESTDATA).join("pem-des3.key"), place.path().join("front.key"))?;
    let config = "services:\n- key: front.key\n  instances:\n  - address: jyvfq5umznvka34v\n";
    fs::write(place.path().join("config.yaml"), config)?;
    let log = place.path().join("log");
    let (balancer, mut person) = at_a_terminal(place.path(), &log)?;
    wait_for(&log, "asking for the passphrase on the terminal")?;

    let mut prompt = Vec::new();
    while !prompt.ends_with(b": ") {
        let mut byte = [0];
        person.read_exact(&mut byte)?;
        prompt.extend(byte);
    }
    assert_eq!(String::from_utf8(prompt)?, "Passphrase of the key front.key: ");
    person.write_all(b"onion balance v2\n")?;
    let address = fs::read_to_string(Path::new(TESTDATA).join("pem-address.txt"))?;
    wait_for(&log, address.trim())?;
    drop(balancer);
    Ok(())
}

/// The balancer, killed with its signer when it is dropped; and what the person who started it has before him.
fn at_a_terminal(place: &Path, log: &Path) -> Result<(Killed, File)> {
    let pty = openpty(None, None)?;
    let balancer = Command::new("setsid")
        .arg("--ctty")
        .arg(&Programs::build()?.balancer)
        .args(["-p", "1", "-c", "config.yaml"])
        .current_dir(place)
        .stdin(Stdio::from(pty.slave))
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()?;
    Ok((Killed(balancer), File::from(pty.master)))
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // The signer ends when its only connection does.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(log: &Path, text: &str) -> Result<()> {
    until(SOON, || Ok(fs::read_to_string(log)?.contains(text).then_some(())))
        .with_context(|| format!("no {text:?} in {}", fs::read_to_string(log).unwrap_or_default()))
}
