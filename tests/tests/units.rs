//! The units that the package installs: as strict as they say, and understood by systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd");
const SERVICES: [&str; 2] = ["onionbalance-signer.service", "onionbalance.service"];
/// Of `systemd-analyze security`, in tenths: 0.3.
const THRESHOLD: &str = "--threshold=3";

/// A copy of the units whose programs are there: the package's are not, where the package is not installed.
fn installed(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut units = Vec::new();
    for entry in fs::read_dir(UNITS)? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
        let text = fs::read_to_string(&path)?;
        let text = text
            .replace("ExecStart=/usr/bin/onionbalance-signer", "ExecStart=/bin/true")
            .replace("ExecStart=/usr/bin/onionbalance", "ExecStart=/bin/true");
        let unit = directory.join(name);
        fs::write(&unit, text)?;
        units.push(unit);
    }
    Ok(units)
}

fn systemd_analyze() -> Command {
    let mut command = Command::new("systemd-analyze");
    command.stdin(Stdio::null()).env("SYSTEMD_COLORS", "0").env("SYSTEMD_LOG_COLOR", "0");
    command
}

#[test]
fn nothing_is_looser_than_it_has_to_be() -> Result<()> {
    for service in SERVICES {
        let mut command = systemd_analyze();
        command
            .args(["security", "--offline=yes", "--no-pager", THRESHOLD])
            .arg(Path::new(UNITS).join(service));
        let output = command.output().context("install systemd: systemd-analyze judges the units")?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("Overall exposure level"), "{said}");
    }
    Ok(())
}

#[test]
fn systemd_understands_every_line() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let units = installed(directory.path())?;
    ensure!(units.len() == 3, "{units:?}");
    let output = systemd_analyze().arg("verify").arg("--man=no").args(&units).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Of other units, and of directories that the package makes, nothing is known here.
    let about_ours =
        said.lines().filter(|line| units.iter().any(|unit| line.contains(&*unit.to_string_lossy())));
    let about_ours: Vec<&str> = about_ours.collect();
    assert!(output.status.success() && about_ours.is_empty(), "{said}");
    Ok(())
}
