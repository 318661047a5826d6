//! `onionbalance check`: its verdict is that of the programs which read the same file.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::pair::Place;
use onionbalance_tests::programs::Programs;

/// The output and the exit status of a check with these arguments.
fn check(place: &Place, arguments: &[&str]) -> Result<(String, i32)> {
    let mut command = Command::new(&Programs::build()?.balancer);
    command.arg("check").args(arguments).current_dir(place.path("")).env_remove("ONIONBALANCE_CONFIG");
    let output = command.output()?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    Ok((text, output.status.code().context("killed by a signal")?))
}

#[test]
fn a_good_file_and_a_bad_one() -> Result<()> {
    let place = Place::new("")?;
    let good = check(&place, &[])?;
    ensure!(good == ("config.yaml: OK (1 service, 1 backend)\n".into(), 0), "{good:?}");

    let file = place.path("config.yaml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, format!("{text}REFRESH_INTERVAL: 1\n"))?;
    ensure!(check(&place, &[])?.1 == 0 && check(&place, &["--strict"])?.1 == 1);

    fs::write(&file, text.replace("instances", "instance") + "LOG_LEVEL: loud\n")?;
    let bad = check(&place, &["-c", "config.yaml", "--format", "short"])?;
    let wanted = "\
config.yaml:3: error: services[0]: unknown key `instance`: did you mean `instances`?
config.yaml:5: error: LOG_LEVEL: write debug, info, warning, error or critical
";
    ensure!(bad == (wanted.into(), 78), "{bad:?}");
    Ok(())
}

#[test]
fn what_cannot_be_checked_has_its_own_status() -> Result<()> {
    let place = Place::new("")?;
    let missing = check(&place, &["-c", "none.yaml"])?;
    ensure!(
        missing.0.starts_with("onionbalance check: cannot read none.yaml: ") && missing.1 == 78,
        "{missing:?}"
    );
    let wrong = check(&place, &["--colour"])?;
    ensure!(wrong.1 == 64 && wrong.0.contains("unexpected argument"), "{wrong:?}");
    let help = check(&place, &["--help"])?;
    ensure!(help.1 == 0 && help.0.contains("--strict"), "{help:?}");
    Ok(())
}
