//! A Debian with a real systemd as its first process, over this system's own files.
//!
//! [`Booted::start`] mounts a file system in memory over the system's, and boots it in namespaces of its own
//! in about two seconds. The files of Debian's tor, systemd and procps that this system lacks come from
//! Debian's packages. The booted system cannot change this one. It shares its kernel and its clock, and the
//! network of the thread that starts it: [`isolate_network`] gives that thread one of its own.
//!
//! It needs root, overlayfs and cgroup2.

mod cgroup;

use std::fs;
use std::io::{PipeWriter, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use self::cgroup::Cgroup;
use crate::network::Directory;
use crate::onion::OnionVersion;
use crate::process::{Process, last_lines, read_lossy};
use crate::programs::{Programs, Running};
use crate::provision::{TorProgram, debian_machine};
use crate::wait::until;

/// A booted system; dropping it ends all that runs in it, and removes its files.
#[derive(Debug)]
pub struct Booted {
    /// Boots the tree once for each line.
    boots: PipeWriter,
    init: Pid,
    /// The number of its boots.
    boot_count: usize,
    tree: Running,
    commands: AtomicUsize,
    directory: Directory,
    _cgroup: Cgroup,
}

/// The exit status of a command, and its output.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// 124 if it took longer than it may.
    pub status: ExitStatus,
    /// Standard output and standard error.
    pub output: String,
}

/// Gives this thread, and all threads and processes that it starts, a network of their own. It has only a
/// loopback interface, which a booted system brings up.
pub fn isolate_network() -> Result<()> {
    ensure!(Uid::effective().is_root(), NEEDS_ROOT);
    // Packages cannot be fetched afterwards.
    debian_machine()?;
    TorProgram::find(OnionVersion::V3)?;
    Programs::build()?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")
}

impl Booted {
    /// Boots a system without an installation of this project. The directory `/root/onionbalance` has the
    /// files of a checkout that an installation needs, with the programs in `target/release/`. `name`
    /// distinguishes it from others of this process.
    pub fn start(name: &str) -> Result<Self> {
        ensure!(Uid::effective().is_root(), NEEDS_ROOT);
        let packages = debian_machine()?;
        let programs = Programs::build()?;
        let directory = Directory::create()?;
        let base = directory.path().join("tree");
        fs::create_dir(&base)?;
        let cgroup = Cgroup::create(name)?;
        let (reader, boots) = pipe()?;
        let packages: Vec<_> = packages.iter().map(|path| path.to_string_lossy()).collect();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", TREE])
            .env("BASE", &base)
            .env("PACKAGES", packages.join(" "))
            .env("CHECKOUT", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("PROGRAMS", programs.balancer.parent().context("a directory")?)
            .env("CGROUP", cgroup.path())
            .env("BOOT", BOOT);
        let tree = Running::start_with(&mut command, reader, &directory.path().join("tree.log"))?;
        let mut system = Self {
            boots,
            init: tree.pid(),
            boot_count: 0,
            tree,
            commands: AtomicUsize::new(0),
            directory,
            _cgroup: cgroup,
        };
        system.boot()?;
        system.sh(PREPARE).context("the booted system could not be prepared")?;
        Ok(system)
    }

    /// Shuts the system down as `poweroff` does, and boots it again with the files that it has.
    pub fn reboot(&mut self) -> Result<()> {
        // The connection to systemd breaks when systemd ends, before or after the answer.
        self.attempt("systemctl poweroff --no-wall")?;
        let booted = self.boot_count;
        let ended =
            |output: &str| (output.lines().filter(|line| *line == "off").count() == booted).then_some(());
        self.tree.wait_output("not that it is off", SHUTDOWN_TIMEOUT, ended)?;
        self.boot()
    }

    fn boot(&mut self) -> Result<()> {
        writeln!(self.boots, "boot")?;
        self.boot_count += 1;
        let booted = self.boot_count;
        let launcher = self.tree.wait_output("not that it boots", BOOT_TIMEOUT, |output| {
            let launchers = output.lines().filter_map(|line| line.strip_prefix("booting "));
            launchers.skip(booted - 1).find_map(|pid| pid.parse().ok())
        })?;
        self.init = until(BOOT_TIMEOUT, || {
            ensure!(self.tree.exited()?.is_none(), "it ended");
            Ok(child_of(launcher)?.filter(|init| listens(*init)))
        })
        .with_context(|| self.tree.failure("booted no systemd"))?;
        let state = self.attempt("systemctl is-system-running --wait")?.output;
        if state.trim() != "running" {
            let failed =
                self.attempt("systemctl --failed --no-legend --plain; journalctl -b -p err --no-pager")?;
            bail!("the booted system is {}:\n{}", state.trim(), last_lines(&failed.output, 20));
        }
        Ok(())
    }

    /// Runs a script of `sh` as root in `/root/onionbalance`, and returns its output. An exit status other
    /// than 0 is an error.
    pub fn sh(&self, script: &str) -> Result<String> {
        let Outcome { status, output } = self.attempt(script)?;
        ensure!(status.success(), "`{script}` failed ({status}):\n{}", last_lines(&output, 20));
        Ok(output)
    }

    /// Runs a script as [`Booted::sh`] does; it may fail.
    pub fn attempt(&self, script: &str) -> Result<Outcome> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let output = self.directory.path().join(format!("command-{number}.log"));
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["env", "-i", "container=lxc", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"])
            .args(["HOME=/root", "SYSTEMD_PAGER=", "timeout", "--kill-after=5", COMMAND_SECS])
            .args(["sh", "-ec", "cd /root/onionbalance; eval \"$1\"", "sh", script]);
        let status = Process::spawn(&mut command, &output)?.wait()?;
        let written = read_lossy(&output)?;
        fs::remove_file(&output)?;
        Ok(Outcome { status, output: written })
    }

    /// The path of a file of the system for this process, as long as the system runs. AF_UNIX sockets can be
    /// connected to by this path.
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(self.init.to_string()).join("root").join(inside.trim_start_matches('/'))
    }

    /// Copies the files of `directory` into a new directory of the system.
    pub fn copy_files(&self, directory: &Path, inside: &str) -> Result<()> {
        let copies = self.path(inside);
        fs::create_dir(&copies)?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            fs::copy(entry.path(), copies.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// A unit's property, such as `ActiveState`.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        Ok(self.sh(&format!("systemctl show --value --property={name} {unit}"))?.trim().to_owned())
    }

    /// Waits until a unit's property has a value.
    pub fn wait_property(&self, unit: &str, name: &str, value: &str, timeout: Duration) -> Result<()> {
        until(timeout, || Ok((self.property(unit, name)? == value).then_some(()))).with_context(|| {
            let status = self.attempt(&format!("systemctl status --no-pager --lines=20 {unit}"));
            let status = status.map(|outcome| outcome.output).unwrap_or_default();
            format!("{unit} has not become {name}={value}:\n{status}")
        })
    }

    /// The messages that a unit's processes have logged since the system has booted: of this priority and
    /// more urgent ones (`warning`, `info` …).
    pub fn journal(&self, unit: &str, priority: &str) -> Result<Vec<String>> {
        let wanted = format!("journalctl -b --no-pager -o cat -p {priority} -u {unit}");
        Ok(self.sh(&wanted)?.lines().map(str::to_owned).collect())
    }

    /// Waits until a unit has logged a message with this text, and returns the message.
    pub fn wait_journal(&self, unit: &str, text: &str, timeout: Duration) -> Result<String> {
        let look = || Ok(self.journal(unit, "debug")?.into_iter().find(|message| message.contains(text)));
        until(timeout, look).with_context(|| {
            let journal = self.journal(unit, "debug").unwrap_or_default().join("\n");
            format!("{unit} has not logged {text:?}; its last messages:\n{}", last_lines(&journal, 20))
        })
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // All others go with the first process. That it has gone already is as good.
        let _ = kill(self.init, Signal::SIGKILL);
        let _ = self.tree.kill();
    }
}

const NEEDS_ROOT: &str = "this test boots a system in namespaces of its own: run it as root";
const TREE: &str = include_str!("tree.sh");
const BOOT: &str = include_str!("boot.sh");
/// The actions of Debian's maintainer scripts, for packages that were only unpacked.
const PREPARE: &str = include_str!("prepare.sh");
const BOOT_TIMEOUT: Duration = Duration::from_mins(1);
/// The time that systemd gives each service to stop by default; the services of this project have ten
/// seconds.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(90);
const COMMAND_SECS: &str = "120";

/// The child of the process `pid`.
fn child_of(pid: i32) -> Result<Option<Pid>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(found) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // `PID (NAME) STATE PARENT …`; it may have ended meanwhile.
        let stat = fs::read_to_string(format!("/proc/{found}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        if parent.is_some_and(|parent| parent == pid.to_string()) {
            return Ok(Some(Pid::from_raw(found)));
        }
    }
    Ok(None)
}

/// True if the first process has become systemd and answers `systemctl`.
fn listens(init: Pid) -> bool {
    let process = Path::new("/proc").join(init.to_string());
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim() == "systemd" && process.join("root/run/systemd/private").exists()
}
