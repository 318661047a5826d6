//! What an operator reads with `journalctl`.

use anyhow::{Context, Result, ensure};
use onionbalance_tests::booted::isolate_network;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

/// Without tor there is something to warn of.
#[test]
fn warnings_are_warnings_and_have_one_time_stamp() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("journal")?;
    system.make_key()?;
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh("systemctl mask --now tor.service tor@default.service")?;
    system.follow("enable --now", &[])?;
    system.wait_journal(BALANCER, "tor", SOON)?;
    for unit in [BALANCER, SIGNER] {
        let all = system.journal(unit, "debug")?;
        let marked = all.iter().find(|message| {
            ["<4>", "<6>", " WARN ", " INFO ", "T0", "T1", "T2"]
                .iter()
                .any(|mark| message.get(..30).unwrap_or(message).contains(mark))
        });
        ensure!(marked.is_none(), "{unit} logs a level or a time stamp of its own: {marked:?}");
    }
    let all = system.journal(BALANCER, "debug")?;
    let warnings = system.journal(BALANCER, "warning")?;
    let tor = warnings.iter().find(|message| message.contains("tor")).context("no warning of tor")?;
    ensure!(warnings.len() < all.len(), "all messages are warnings: {all:?}");
    // Nothing that went well is among them.
    ensure!(warnings.iter().all(|message| !message.contains("connected to the signer")), "{warnings:?}");
    ensure!(system.journal(BALANCER, "err")?.iter().all(|message| message != tor), "{tor} is an error");
    Ok(())
}
