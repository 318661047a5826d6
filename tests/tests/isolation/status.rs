//! The kernel's view of the processes, and of the files that they make.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use needs_root::needs_root;
use onionbalance_tests::programs::Running;

use onionbalance_tests::pair::{BALANCER, Pair, SIGNER};

#[needs_root]
#[test]
fn both_are_their_users_and_nothing_more() -> Result<()> {
    let pair = Pair::start()?;
    expect_status(&pair.signer, SIGNER, 1)?;
    // One of the balancer's two filters refuses a single system call.
    expect_status(&pair.balancer, BALANCER, 2)
}

fn expect_status(program: &Running, user: u32, filters: usize) -> Result<()> {
    let process = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", program.pid()));
    let status = process("status")?;
    let ids = [user.to_string().as_str(); 4].join("\t");
    let none = "0000000000000000";
    for (name, value) in [
        ("Uid", ids.clone()),
        ("Gid", ids),
        ("Groups", user.to_string()),
        ("CapInh", none.to_owned()),
        ("CapPrm", none.to_owned()),
        ("CapEff", none.to_owned()),
        ("CapAmb", none.to_owned()),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
        ("Seccomp_filters", filters.to_string()),
        // Each thread has filters of its own: the process had one thread when they were installed.
        ("Threads", "1".to_owned()),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let found = line.map(|value| value.trim().to_owned());
        ensure!(found.as_ref() == Some(&value), "{name}: {found:?} instead of {value} in {status}");
    }
    let limits = process("limits")?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap_or_default().split_whitespace().skip(4).take(2).collect();
    ensure!(core == ["0", "0"], "{limits}");
    // The entries of an undumpable process belong to root instead of the process's user.
    let owner = fs::metadata(format!("/proc/{}/environ", program.pid()))?.uid();
    ensure!(owner == 0, "the process of {user} is dumpable");
    Ok(())
}

#[needs_root]
#[test]
fn sockets_and_files_are_born_with_mode_and_owner() -> Result<()> {
    let pair = Pair::start()?;
    for (file, mode, user) in [
        ("run/signer", 0o660, SIGNER),
        ("balancer/status", 0o660, BALANCER),
        ("balancer/control.sock", 0o600, BALANCER),
        ("balancer/log", 0o640, BALANCER),
    ] {
        let found = fs::symlink_metadata(pair.place.path(file))?;
        let found = (found.mode() & 0o7777, found.uid(), found.gid());
        ensure!(found == (mode, user, BALANCER), "{file}: {:o} {} {}", found.0, found.1, found.2);
    }
    Ok(())
}
