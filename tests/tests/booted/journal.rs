//! The journal, as an operator reads it with `journalctl`.

use anyhow::{Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

const TOR_IS_MISSING: &str = "cannot connect to tor's control port";

/// A missing tor causes a warning.
#[needs_root]
#[test]
fn warnings_are_warnings_and_have_one_time_stamp() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("journal")?;
    system.make_key()?;
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh("systemctl mask --now tor.service tor@default.service")?;
    system.follow("enable --now", &[])?;
    system.wait_journal(BALANCER, TOR_IS_MISSING, SOON)?;
    for unit in [BALANCER, SIGNER] {
        let all = system.journal(unit, "debug")?;
        let marked = all.iter().find(|message| {
            ["<4>", "<6>", " WARN ", " INFO ", "T0", "T1", "T2"]
                .iter()
                .any(|mark| message.get(..30).unwrap_or(message).contains(mark))
        });
        ensure!(marked.is_none(), "{unit} logs a level or a time stamp of its own: {marked:?}");
    }
    let warnings = system.journal(BALANCER, "warning")?;
    ensure!(
        warnings.iter().any(|message| message.contains(TOR_IS_MISSING)),
        "no warning of tor: {warnings:?}"
    );
    ensure!(
        warnings.iter().all(|message| message.starts_with("cannot ")),
        "not all are warnings: {warnings:?}"
    );
    ensure!(system.journal(BALANCER, "err")?.is_empty(), "a warning is an error");
    let mut others = system.journal(BALANCER, "debug")?;
    others.retain(|message| !warnings.contains(message));
    ensure!(others.iter().any(|message| message.starts_with("balancing ")), "no other messages: {others:?}");
    ensure!(!others.iter().any(|message| message.contains("cannot ")), "a warning among {others:?}");
    Ok(())
}
