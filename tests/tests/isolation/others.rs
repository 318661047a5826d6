//! The rights of another process over the programs, even of one of the same user.

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use needs_root::needs_root;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tempfile::TempDir;

use onionbalance_tests::pair::{Pair, SOON};

/// The variable that gives a copy of this program, which plays the other process, its target.
const VICTIM: &str = "ONIONBALANCE_TEST_VICTIM";

#[needs_root]
#[test]
fn their_own_user_cannot_look_into_them() -> Result<()> {
    if let Ok(victim) = env::var(VICTIM) {
        return look_into(Pid::from_raw(victim.parse()?));
    }
    let pair = Pair::start()?;
    for (program, user) in pair.both() {
        let place = TempDir::new()?;
        std::os::unix::fs::chown(place.path(), Some(user), None)?;
        let copy = place.path().join("isolation");
        ensure!(Command::new("cp").arg(env::current_exe()?).arg(&copy).status()?.success());
        let mut command = Command::new(copy);
        command.args(["--exact", "others::their_own_user_cannot_look_into_them", "--nocapture"]);
        command.env(VICTIM, program.pid().to_string()).current_dir(place.path()).uid(user).gid(user);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{user}: {said}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(program.exited()?.is_none());
    }
    Ok(())
}

/// Tries everything on the victim, after it has been seen to work on a process that does not protect itself.
fn look_into(victim: Pid) -> Result<()> {
    let mut ordinary = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    let pid = Pid::from_raw(ordinary.id().try_into()?);
    let looked = read_memory(pid).context("memory").and_then(|()| Ok(ptrace::attach(pid)?));
    waitpid(pid, None)?;
    ordinary.kill()?;
    looked.context("not even an ordinary process can be looked into")?;

    ensure!(ptrace::attach(victim) == Err(nix::errno::Errno::EPERM), "it can be traced");
    for file in ["mem", "environ", "maps", "auxv"] {
        let error =
            File::open(format!("/proc/{victim}/{file}")).err().with_context(|| format!("{file} opens"))?;
        ensure!(error.kind() == io::ErrorKind::PermissionDenied, "{file}: {error}");
    }
    Ok(())
}

/// Tries to read a byte of the process's memory.
fn read_memory(pid: Pid) -> Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let start = maps.split_once('-').context("nothing is mapped")?.0;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    memory.seek(SeekFrom::Start(u64::from_str_radix(start, 16)?))?;
    Ok(memory.read_exact(&mut [0])?)
}

#[needs_root]
#[test]
fn they_leave_no_core() -> Result<()> {
    let pair = Pair::start()?;
    for (program, _) in pair.both() {
        kill(program.pid(), Signal::SIGABRT)?;
        let status = program.wait_exit(SOON)?;
        ensure!(status.signal() == Some(Signal::SIGABRT as i32) && !status.core_dumped(), "{status}");
    }
    Ok(())
}
