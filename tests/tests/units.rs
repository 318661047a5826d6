//! The units in `packaging/` are as strict as documented, and systemd accepts every setting in them.
//!
//! Without a running systemd `systemd-analyze` creates /run/systemd, which needs root.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::process::run;
use onionbalance_tests::provision::systemd_analyze;
use tempfile::TempDir;

const SYSTEMD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd");
const SIGNER: &str = "onionbalance-signer.service";
const SOCKET: &str = "onionbalance-signer.socket";
const BALANCER: &str = "onionbalance.service";
/// The units that collect metrics.
const METRICS: [&str; 2] = ["onionbalance-textfile.service", "onionbalance-textfile.timer"];
const DROP_INS: [(&str, &str); 3] = [
    (BALANCER, "drop-ins/onionbalance-loopback.conf"),
    (BALANCER, "drop-ins/onionbalance-metrics.conf"),
    (SIGNER, "drop-ins/onionbalance-signer-passphrase.conf"),
];

/// The units that ours name, and those that systemd adds by itself.
const OTHERS: [&str; 8] = [
    "basic.target",
    "multi-user.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "time-set.target",
    "timers.target",
    "tor.service",
];

/// The project's programs, and one of the package procps, which containers may lack.
const INSTALLED_LATER: [&str; 3] = ["/usr/bin/onionbalance", "/usr/bin/onionbalance-signer", "/usr/bin/kill"];

/// Ten times the highest exposure that is allowed: 0.3.
const THRESHOLD: &str = "--threshold=3";

#[needs_root]
#[test]
fn neither_service_is_exposed() -> Result<()> {
    for unit in [SIGNER, BALANCER] {
        exposure(&Units::copy()?, unit)?;
    }
    Ok(())
}

#[needs_root]
#[test]
fn an_option_less_shows() -> Result<()> {
    for unit in [SIGNER, BALANCER] {
        let units = Units::copy()?;
        units.edit(unit, "CapabilityBoundingSet=\n", "")?;
        let error = exposure(&units, unit).err().context("a service with all capabilities passed")?;
        ensure!(format!("{error:#}").contains("Overall exposure level"), "{error:#}");
    }
    Ok(())
}

#[needs_root]
#[test]
fn systemd_understands_all_units() -> Result<()> {
    let found = verify(&Units::copy()?)?;
    ensure!(found.is_empty(), "{found}");
    Ok(())
}

#[needs_root]
#[test]
fn systemd_understands_the_drop_ins() -> Result<()> {
    for (unit, drop_in) in DROP_INS {
        let units = Units::copy()?;
        let directory = units.0.path().join(format!("{unit}.d"));
        fs::create_dir(&directory)?;
        fs::write(directory.join("drop-in.conf"), with_some_program(&source(drop_in)?))?;
        let found = verify(&units)?;
        ensure!(found.is_empty(), "{found}");
    }
    Ok(())
}

#[needs_root]
#[test]
fn an_unknown_option_shows() -> Result<()> {
    for unit in [SIGNER, SOCKET, BALANCER] {
        let units = Units::copy()?;
        let section = if unit == SOCKET { "[Socket]\n" } else { "[Service]\n" };
        units.edit(unit, section, &format!("{section}NoSuchOption=yes\n"))?;
        let found = verify(&units)?;
        ensure!(found.contains("NoSuchOption"), "{unit}: {found:?}");
    }
    Ok(())
}

#[needs_root]
#[test]
fn a_wrong_program_shows() -> Result<()> {
    for (unit, program) in [(SIGNER, "/usr/bin/onionbalance-signer"), (BALANCER, "/usr/bin/kill")] {
        let units = Units::copy()?;
        let wrong = format!("{program}-wrong");
        fs::write(units.0.path().join(unit), with_some_program(&source(unit)?.replace(program, &wrong)))?;
        let error = verify(&units).err().context("a unit with a wrong program passed")?;
        ensure!(format!("{error:#}").contains(&wrong), "{unit}: {error:#}");
    }
    Ok(())
}

/// Fails where a service is more exposed than it may be.
fn exposure(units: &Units, unit: &str) -> Result<()> {
    let mut command = systemd_analyze()?;
    command.args(["security", "--offline=yes", "--no-pager", THRESHOLD]).arg(units.0.path().join(unit));
    run(&mut command, &units.0.path().join("exposure.log")).map(drop)
}

/// systemd's complaints about the units. It warns of unknown settings and succeeds; a missing program is an
/// error.
fn verify(units: &Units) -> Result<String> {
    let mut command = systemd_analyze()?;
    command
        .args(["verify", "--man=no", SIGNER, SOCKET, BALANCER])
        .args(METRICS)
        .current_dir(units.0.path())
        // Without the system's units, so that only ours are judged.
        .env("SYSTEMD_UNIT_PATH", units.0.path());
    run(&mut command, &units.0.path().join("verify.log"))
}

/// Copies of the units, with the other units that they need.
struct Units(TempDir);

impl Units {
    fn copy() -> Result<Self> {
        let units = Self(tempfile::tempdir()?);
        for unit in [SIGNER, SOCKET, BALANCER] {
            fs::write(units.0.path().join(unit), with_some_program(&source(unit)?))?;
        }
        for unit in METRICS {
            let text = with_some_program(&source(&format!("../prometheus/{unit}"))?);
            fs::write(units.0.path().join(unit), text)?;
        }
        for other in OTHERS {
            let text =
                if other.ends_with(".service") { "[Service]\nExecStart=/bin/true\n" } else { "[Unit]\n" };
            fs::write(units.0.path().join(other), text)?;
        }
        Ok(units)
    }

    fn edit(&self, unit: &str, from: &str, to: &str) -> Result<()> {
        let path = self.0.path().join(unit);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{unit} has no {from:?}");
        Ok(fs::write(path, text.replacen(from, to, 1))?)
    }
}

fn source(name: &str) -> Result<String> {
    let path = Path::new(SYSTEMD).join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A program that every system has replaces each program that may not be installed here.
fn with_some_program(unit: &str) -> String {
    let lines = unit.lines().map(|line| match line.split_once('=') {
        Some((key, command)) if key.starts_with("Exec") && key != "ExecPaths" => {
            let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
            // `+` and other prefixes are not part of the path (systemd.service(5)).
            let path = program.trim_start_matches(['@', '-', ':', '+', '!']);
            let prefix = program.strip_suffix(path).unwrap_or_default();
            let path = if INSTALLED_LATER.contains(&path) { "/bin/true" } else { path };
            format!("{key}={prefix}{path} {arguments}\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}
