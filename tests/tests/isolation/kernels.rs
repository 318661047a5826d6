//! The programs on a kernel without the mechanisms of confinement, and with a user that they cannot become.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, ensure};
use needs_root::needs_root;
use nix::libc;
use onionbalance_tests::programs::Programs;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use onionbalance_tests::pair::{MADE_UP_TOR, Place, SOON};

#[needs_root]
#[test]
fn without_landlock_they_warn_and_serve() -> Result<()> {
    let place = Place::for_two()?;
    let mut command = place.signer_command()?;
    hide_landlock(&mut command)?;
    let signer = place.start(command, "signer")?;
    signer.wait_line("WARN the kernel has no landlock, by which the signer gives up its files", SOON)?;
    signer.wait_line("listening on", SOON)?;
    let mut command = place.balancer_command(MADE_UP_TOR)?;
    hide_landlock(&mut command)?;
    let balancer = place.start(command, "balancer")?;
    balancer.wait_line(" WARN the kernel has no landlock, by which the balancer gives up its files", SOON)?;
    balancer.wait_line("connected to tor", SOON)?;
    Ok(())
}

/// The error of a kernel without this mechanism.
fn hide_landlock(command: &mut Command) -> Result<()> {
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    #[expect(unsafe_code, reason = "between fork and exec a process may do little")]
    // SAFETY: one system call on memory that was prepared before.
    unsafe {
        command.pre_exec(move || apply_filter(&program).map_err(std::io::Error::other));
    }
    Ok(())
}

#[needs_root]
#[test]
fn a_user_that_the_balancer_cannot_become_is_an_error() -> Result<()> {
    for (user, started_by, wanted) in [
        ("nobody-of-that-name", 0, "user: there is no user nobody-of-that-name: make one"),
        (
            "daemon",
            65_534,
            "user is daemon, and onionbalance was started by another user: start it as daemon or as",
        ),
    ] {
        let place = Place::new(&format!("user: {user}\n"))?;
        // In a directory where that user may run it.
        let program = place.path("onionbalance");
        ensure!(Command::new("cp").arg(&Programs::build()?.balancer).arg(&program).status()?.success());
        let mut command = Command::new(program);
        command.arg("-c").arg(place.path("config.yaml")).uid(started_by).gid(started_by);
        let balancer = place.start(command, "balancer")?;
        ensure!(balancer.wait_exit(SOON)?.code() == Some(78), "{}", balancer.failure("ended otherwise"));
        ensure!(balancer.output()?.contains(&format!(" ERROR {wanted}")), "{}", balancer.output()?);
    }
    Ok(())
}
