//! The limits of the balancer's user at the signer's files, and the needs of an encrypted key.

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;
use onionbalance_tests::document::Document;
use onionbalance_tests::wait::until;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

#[needs_root]
#[test]
fn nothing_of_the_signers_root_is_the_balancers() -> Result<()> {
    isolate_network()?;
    let mut system = Installed::start("walls")?;
    system.make_key()?;
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh("useradd --system -G onionbalance-status watcher && useradd --system stranger")?;
    // The services are started in either order, and by a boot.
    for start in ["onionbalance", "onionbalance-signer"] {
        system.sh(&format!(
            "systemctl stop {BALANCER} {SIGNER}; systemctl start {start}; systemctl start {BALANCER}"
        ))?;
        check(&system)?;
    }
    system.sh("systemctl enable onionbalance")?;
    system.reboot()?;
    check(&system)
}

fn check(system: &Installed) -> Result<()> {
    system.wait_property(SIGNER, "ActiveState", "active", SOON)?;
    system.wait_property(BALANCER, "ActiveState", "active", SOON)?;
    let root = system.property(SIGNER, "RootDirectory")?;
    // Run as the balancer's user. It may not read some of the directories, and so owns no files in them.
    let found = system.sh(&format!(
        "runuser -u onionbalance -- find /run/onionbalance $(dirname {root}) {root} \
         \\( -user onionbalance -o -writable \\) -print 2>/dev/null | sort -u"
    ))?;
    // Write permission to the socket is needed to connect.
    ensure!(found.trim() == "/run/onionbalance/signer.sock", "the balancer's user can write to:\n{found}");
    let attempt = format!(
        "runuser -u onionbalance -- sh -c 'mkdir {root}/etc; echo /tmp/own.so >{root}/etc/ld.so.preload'"
    );
    ensure!(!system.attempt(&attempt)?.status.success(), "a library was placed in the signer's root");
    let key = system.attempt("runuser -u onionbalance -- cat /etc/onionbalance/frontend.key")?;
    ensure!(!key.status.success(), "the balancer's user reads the key");
    check_readers_of_the_status(system)?;
    check_users_of_the_control_socket(system)
}

/// A member of the group onionbalance-status reads the status, and does not reach the signer. Another user does
/// neither.
fn check_readers_of_the_status(system: &Installed) -> Result<()> {
    let as_user = |user: &str, command: &str| system.attempt(&format!("runuser -u {user} -- {command}"));
    let shown = as_user("watcher", "onionbalance status --json")?.output;
    ensure!(shown.contains("\"schema\": 1"), "a member of onionbalance-status reads {shown:?}");
    ensure!(
        !as_user("watcher", "test -w /run/onionbalance/signer.sock")?.status.success(),
        "a member of onionbalance-status reaches the signer"
    );
    let refused = as_user("stranger", "onionbalance status --json")?.output;
    ensure!(
        refused.contains("you may not read") && !refused.contains("schema"),
        "a stranger reads the status: {refused}"
    );
    let socket = system.sh("stat -c '%U %G %a' /run/onionbalance-status/status.sock")?;
    ensure!(socket.trim() == "onionbalance onionbalance-status 660", "the status socket is {socket}");
    Ok(())
}

/// Root drains a backend and finds the socket without an option, which those who read the status cannot use.
fn check_users_of_the_control_socket(system: &Installed) -> Result<()> {
    let [backend, _] = strangers()?;
    let socket = system.sh("stat -c '%U %a' /run/onionbalance-status/control.sock")?;
    ensure!(socket.trim() == "onionbalance 600", "the control socket is {socket}");
    let refused = system.attempt(&format!("runuser -u watcher -- onionbalance drain {backend}"))?;
    ensure!(
        refused.output.contains("you may not write to") && refused.status.code() == Some(4),
        "a member of onionbalance-status drains a backend: {}",
        refused.output
    );
    // The balancer may not have asked the signer yet.
    let drained = until(SOON, || {
        let drained = system.attempt(&format!("onionbalance drain {backend} --force --for 1h"))?;
        Ok(drained.status.success().then_some(drained.output))
    })?;
    ensure!(drained.contains(": drained until ") && !drained.contains("not kept"), "{drained}");
    let kept = system.sh("cat /var/lib/onionbalance/state.json")?;
    ensure!(kept.contains("\"drains\""), "the drain is not kept: {kept}");
    let enabled = system.sh(&format!("onionbalance enable {backend}"))?;
    ensure!(enabled.contains(": enabled; "), "{enabled}");
    Ok(())
}

/// Follows the commands of docs/keys.md; the test types the passphrase.
#[needs_root]
#[test]
fn an_encrypted_key_opens_with_its_credential() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("encrypted")?;
    let blocks = Document::read("docs/keys.md")?.console("Passphrases");
    let is_question = |text: &&str| text.contains("systemd-ask-password");
    let block = blocks.iter().find(|block| is_question(&block.as_str())).context("no block asks")?;
    let asking = block.lines().find(is_question).context("no question")?;
    let typed = "(umask 077; printf 'correct horse' >passphrase)";
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh(&block.replace(asking, typed))?;
    ensure!(
        system.sh("cat /etc/onionbalance/frontend.key")?.contains("ENCRYPTED"),
        "the key is not encrypted"
    );
    system.follow("enable --now", &[])?;
    ensure!(system.property(SIGNER, "ActiveState")? == "active", "the signer does not run");
    let mode = system.sh("stat -c '%a %U' /etc/onionbalance/passphrase.cred")?;
    ensure!(mode.trim() == "600 root", "the credential's mode and owner are {mode}");
    Ok(())
}
