//! Incomplete installations: no program is restarted in a loop, nothing is lost, and a corrected installation
//! works.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::booted::isolate_network;

use super::installed::{BALANCER, Installed, SIGNER, SOON, strangers};

#[needs_root]
#[test]
fn without_a_configuration_all_units_are_quiet() -> Result<()> {
    isolate_network()?;
    let mut system = Installed::start("unconfigured")?;
    system.sh("systemctl enable --now onionbalance")?;
    // A failed unit would fail the boot.
    system.reboot()?;
    for unit in [BALANCER, SIGNER, "onionbalance-signer.socket"] {
        ensure!(system.property(unit, "ActiveState")? == "inactive", "{unit} is active");
        ensure!(system.property(unit, "ConditionResult")? == "no", "{unit} has another reason not to start");
        ensure!(system.journal(unit, "notice")?.is_empty(), "{:?}", system.journal(unit, "notice")?);
    }
    Ok(())
}

#[needs_root]
#[test]
fn a_broken_configuration_fails_the_start_at_once_and_only_once() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("broken")?;
    system.make_key()?;
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh("sed -i 's/instances:/instance:/' /etc/onionbalance/config.yaml")?;
    let started = Instant::now();
    let outcome = system.attempt("systemctl start onionbalance")?;
    ensure!(!outcome.status.success(), "`systemctl start` succeeded");
    ensure!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    for unit in [BALANCER, SIGNER] {
        ensure!(system.property(unit, "ActiveState")? == "failed", "{unit} has not failed");
        ensure!(system.property(unit, "ExecMainStatus")? == "78", "{unit}");
        ensure!(system.property(unit, "NRestarts")? == "0", "{unit} was started again");
        ensure!(!system.journal(unit, "err")?.is_empty(), "{unit} logged no error");
    }
    // The signer is started by the balancer's start, and not by its socket.
    ensure!(starts(&system, SIGNER)? == 1, "the signer was started {} times", starts(&system, SIGNER)?);
    system
        .sh("sed -i 's/instance:/instances:/' /etc/onionbalance/config.yaml; systemctl start onionbalance")?;
    system.wait_property(SIGNER, "ActiveState", "active", SOON)
}

/// A key owned by root is the likeliest first mistake. The balancer retries a signer that cannot read its key
/// every half minute: at most three starts in a minute, the first two of them at once.
#[needs_root]
#[test]
fn an_unreadable_key_starts_the_signer_few_times() -> Result<()> {
    isolate_network()?;
    let system = Installed::start("unreadable")?;
    system.make_key()?;
    system.configure(&strangers()?.each_ref().map(String::as_str))?;
    system.sh("chown root: /etc/onionbalance/frontend.key")?;
    system.sh("systemctl enable --now onionbalance")?;
    ensure!(
        system.property(BALANCER, "ActiveState")? == "active",
        "the balancer does not wait for the signer"
    );
    system.wait_journal(BALANCER, "the signer is not ready", SOON)?;
    // The test waits without an event: a socket that is triggered repeatedly would start the signer a hundred
    // times meanwhile.
    thread::sleep(QUIET);
    let early = starts(&system, SIGNER)?;
    ensure!(early <= 2, "the signer was started {early} times within {QUIET:?}");
    let status = system.property(BALANCER, "StatusText")?;
    ensure!(status.contains("signer"), "the balancer's status is {status:?}");
    ensure!(system.property(BALANCER, "NRestarts")? == "0", "the balancer was started again");
    // README's command; the balancer's next request starts the signer.
    system.sh("chown onionbalance-signer: /etc/onionbalance/frontend.key")?;
    system.wait_property(SIGNER, "ActiveState", "active", Duration::from_secs(40))?;
    let all = starts(&system, SIGNER)?;
    ensure!(all <= 3, "the signer was started {all} times");
    Ok(())
}

/// Less than the half minute until the balancer's next try.
const QUIET: Duration = Duration::from_secs(25);

/// The number of starts of a service since the boot.
fn starts(system: &Installed, unit: &str) -> Result<usize> {
    Ok(system.journal(unit, "info")?.iter().filter(|message| message.starts_with("Starting ")).count())
}
