//! `onionbalance config --install`: from nothing to two programs that run with an encrypted key.

use std::fs;

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

#[needs_root]
#[test]
fn a_deployment_is_installed_with_its_passphrase_as_a_credential() -> Result<()> {
    isolate_network()?;
    let front = Installed::start("wizard")?;
    fs::write(front.path("/root/onionbalance/passphrase"), "opens it\n")?;
    front.sh("onionbalance config --no-interactive --passphrase-file passphrase")?;
    let early = front.attempt("onionbalance config --install --passphrase-file passphrase")?;
    ensure!(!early.status.success() && early.output.contains("web1 has no address yet"), "{}", early.output);

    // A wrong passphrase leaves nothing behind.
    fs::write(front.path("/root/onionbalance/wrong"), "opens nothing\n")?;
    let [web1, web2] = strangers()?;
    let backends = format!("--backends web1={web1},web2={web2}");
    let wrong =
        front.attempt(&format!("onionbalance config {backends} --install --passphrase-file wrong"))?;
    ensure!(!wrong.status.success() && wrong.output.contains("does not open with any"), "{}", wrong.output);
    ensure!(front.sh("ls -A /etc/onionbalance")?.is_empty());

    // Without tor the status never is ok: this script's end is its answer.
    let done = front
        .attempt(&format!("WAIT=1 onionbalance config {backends} --install --passphrase-file passphrase"))?;
    for unit in [SIGNER, BALANCER] {
        front.wait_property(unit, "ActiveState", "active", SOON).with_context(|| done.output.clone())?;
    }
    let address = front.sh("cat onionbalance-setup/README")?;
    let address = address.lines().find(|line| line.strip_suffix(".onion").is_some()).context("no address")?;
    let held = format!("holding {address}: 2 backends allowed");
    let journal = front.journal(SIGNER, "info")?;
    ensure!(journal.contains(&held), "{journal:?}");
    let modes = "stat -c '%a %U:%G %n' /etc/onionbalance/* | sed 's/[a-z2-7]*\\.key/KEY/'";
    let wanted = "640 root:onionbalance /etc/onionbalance/config.yaml
400 onionbalance-signer:root /etc/onionbalance/KEY
600 root:root /etc/onionbalance/passphrase.cred
";
    let found = front.sh(&format!("{modes} | sort -k 3"))?;
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    ensure!(sorted(&found) == sorted(wanted), "{found}");
    front.sh("onionbalance check")?;

    let again = front.attempt("sh onionbalance-setup/management/install.sh passphrase")?;
    ensure!(!again.status.success() && again.output.contains("nothing is overwritten"), "{}", again.output);
    Ok(())
}
