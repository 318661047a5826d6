//! A signer that the balancer starts asks for the passphrase of an encrypted key at the terminal, and waits
//! for it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::Programs;
use onionbalance_tests::terminal::AtTerminal;

/// Longer than the balancer waits for a signer that has answered before.
const SOON: Duration = Duration::from_secs(40);
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");

#[test]
fn the_balancer_waits_for_whoever_types_it() -> Result<()> {
    let place = tempfile::tempdir()?;
    write_secret(&place.path().join("front.key"), fs::read(Path::new(TESTDATA).join("pem-des3.key"))?)?;
    let config = "services:\n- key: front.key\n  instances:\n  - address: jyvfq5umznvka34v\n";
    fs::write(place.path().join("config.yaml"), config)?;
    let mut command = Command::new(&Programs::build()?.balancer);
    command.args(["-p", "1", "-c", "config.yaml"]);
    let mut balancer = AtTerminal::start(&command, place.path(), &place.path().join("log"))?;
    balancer.wait_logged("asking for the passphrase on the terminal", SOON)?;
    assert_eq!(balancer.answer("onion balance v2")?, "Passphrase of the key front.key: ");
    let address = fs::read_to_string(Path::new(TESTDATA).join("pem-address.txt"))?;
    balancer.wait_logged(address.trim(), SOON)
}
