//! The alerts for Prometheus, judged by Prometheus' own tool.

use std::fs;

use anyhow::{Result, ensure};
use onionbalance_tests::provision::promtool;

const RULES: &str = include_str!("../../packaging/prometheus/onionbalance.rules.yml");
const SCRAPE: &str = include_str!("../../packaging/prometheus/onionbalance.scrape.yml");
const TESTS: &str = include_str!("../data/prometheus/alerts.yml");

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    let place = tempfile::tempdir()?;
    fs::write(place.path().join("onionbalance.rules.yml"), RULES)?;
    fs::write(place.path().join("onionbalance.scrape.yml"), SCRAPE)?;
    fs::write(place.path().join("alerts.yml"), TESTS)?;
    for arguments in [
        ["check", "rules", "onionbalance.rules.yml"],
        ["check", "config", "onionbalance.scrape.yml"],
        ["test", "rules", "alerts.yml"],
    ] {
        let judged = promtool()?.args(arguments).current_dir(place.path()).output()?;
        ensure!(judged.status.success(), "{judged:?}");
    }
    Ok(())
}
