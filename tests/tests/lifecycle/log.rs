//! The form of the log, by its reader.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::pair::{MADE_UP_TOR, Place, SOON};
use serde_json::Value;

#[needs_root]
#[test]
fn the_journal_gets_priorities_and_no_time() -> Result<()> {
    let place = Place::for_two()?;
    // The inode of standard error's file, as in the service manager's variable.
    let output = place.path("balancer.output");
    let file = File::create(&output)?.metadata()?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    command.env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    let balancer = place.start(command, "balancer")?;
    balancer.wait_line("waiting for the signer", SOON)?;
    for line in fs::read_to_string(&output)?.lines() {
        ensure!(line.starts_with("<4>") || line.starts_with("<6>"), "{line}");
        ensure!(!line.contains("problem="), "{line}");
    }
    let log_file = fs::read_to_string(place.path("balancer/log"))?;
    ensure!(log_file.contains(" WARN waiting for the signer"), "{log_file}");
    Ok(())
}

/// The fields tell a program what the text tells a person.
#[needs_root]
#[test]
fn a_program_gets_the_problem_of_a_line() -> Result<()> {
    let place = Place::for_two()?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    command.args(["--log-format", "json"]);
    let balancer = place.start(command, "balancer")?;
    let line = balancer.wait_line("waiting for the signer", SOON)?;
    let line: Value = serde_json::from_str(&line)?;
    ensure!(line["level"] == "WARN" && line["problem"] == "SIGNER_UNREACHABLE", "{line}");
    Ok(())
}
