//! Child processes that cannot outlive this one.
//!
//! A [`Process`] is killed when it is dropped, and [`end_all`] ends every one at once (for Ctrl-C). For all
//! other ends of this process – a panic, `exit`, SIGKILL – there is a *warden*: a shell that reads from a
//! pipe, with its other end in this process only. When the pipe closes, it kills the remaining children.
//! Every child leads a process group of its own: the terminal's Ctrl-C reaches this process alone, and a
//! child's own children end with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A running child process; dropping it kills it and its children.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    child: Arc<Mutex<Child>>,
}

impl Process {
    /// Starts `command` with its standard output and standard error in the file `output`, and nothing to
    /// read.
    pub fn spawn(command: &mut Command, output: &Path) -> Result<Self> {
        Self::spawn_reading(command, Path::new("/dev/null"), output)
    }

    /// Starts `command` as [`Process::spawn`] does, with the file `input` as its standard input.
    pub fn spawn_reading(command: &mut Command, input: &Path, output: &Path) -> Result<Self> {
        let input = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
        Self::spawn_with(command, input, output)
    }

    /// Starts `command` as [`Process::spawn`] does, with any `input` as its standard input.
    pub fn spawn_with(command: &mut Command, input: impl Into<Stdio>, output: &Path) -> Result<Self> {
        let output = File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
        command.stdin(input).stdout(output.try_clone()?).stderr(output);
        let mut registry = lock(&REGISTRY);
        ensure!(!registry.closed, "everything is being stopped");
        registry.start_warden()?;
        let program = command.get_program().display().to_string();
        let child = command.process_group(0).spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = Pid::from_raw(child.id().try_into()?);
        let child = Arc::new(Mutex::new(child));
        registry.add(pid, Arc::clone(&child))?;
        Ok(Self { pid, child })
    }

    /// The process's id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to the process (not to its children).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.exited()?.is_none(), "process {} has ended", self.pid);
        kill(self.pid, signal).with_context(|| format!("cannot send {signal} to process {}", self.pid))
    }

    /// The exit status; `None` while the process runs.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        let status = lock(&self.child).try_wait()?;
        if status.is_some() {
            lock(&REGISTRY).remove(self.pid);
        }
        Ok(status)
    }

    /// Waits for the end of the process, without limit.
    pub fn wait(&self) -> Result<ExitStatus> {
        let status = lock(&self.child).wait()?;
        lock(&REGISTRY).remove(self.pid);
        Ok(status)
    }

    /// Kills the process and its children, and waits until it is gone.
    pub fn kill(&self) -> Result<ExitStatus> {
        if self.exited()?.is_none() {
            // It may be gone by now; then there is nothing to do.
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
        self.wait()
    }

    /// The process's resident memory in KiB, from `/proc/PID/status`.
    pub fn rss_kib(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
        Ok(figure.with_context(|| format!("{path} has no VmRSS"))?.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs `command` to its end and returns its output (standard output and error, also kept in the file
/// `output`). An exit status other than 0 is an error that quotes the last lines.
pub fn run(command: &mut Command, output: &Path) -> Result<String> {
    run_reading(command, Path::new("/dev/null"), output)
}

/// Runs `command` as [`run`] does, with the file `input` as its standard input.
pub fn run_reading(command: &mut Command, input: &Path, output: &Path) -> Result<String> {
    let program = command.get_program().display().to_string();
    let status = Process::spawn_reading(command, input, output)?.wait()?;
    let written = read_lossy(output)?;
    if !status.success() {
        bail!("{program} failed ({status}); its last lines:\n{}", last_lines(&written, 10));
    }
    Ok(written)
}

/// Kills every child process at once; none can be started afterwards.
pub fn end_all() {
    let children = {
        let mut registry = lock(&REGISTRY);
        registry.closed = true;
        for pid in registry.children.keys() {
            let _ = killpg(*pid, Signal::SIGKILL);
        }
        registry.children.clone()
    };
    for child in children.into_values() {
        let _ = lock(&child).wait();
    }
}

/// True if [`end_all`] has been called: later failures are a consequence of it.
pub fn is_ending() -> bool {
    lock(&REGISTRY).closed
}

/// A file's text; bytes that are not UTF-8 are replaced, as daemons' logs may be cut anywhere.
pub fn read_lossy(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last `count` lines of a text, indented for quoting in an error.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(count);
    lines.iter().skip(start).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Locks a mutex, also after a panic of a holder: holders keep the value consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { closed: false, children: BTreeMap::new(), warden: None });

struct Registry {
    closed: bool,
    children: BTreeMap<Pid, Arc<Mutex<Child>>>,
    warden: Option<ChildStdin>,
}

impl Registry {
    fn start_warden(&mut self) -> Result<()> {
        if self.warden.is_none() {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", WARDEN]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut shell = command.process_group(0).spawn().context("cannot start /bin/sh")?;
            self.warden = shell.stdin.take();
        }
        Ok(())
    }

    fn add(&mut self, pid: Pid, child: Arc<Mutex<Child>>) -> Result<()> {
        self.children.insert(pid, child);
        self.tell_warden('+', pid)
    }

    fn remove(&mut self, pid: Pid) {
        if self.children.remove(&pid).is_some() {
            // A warden that has ended cannot kill a process by mistake.
            let _ = self.tell_warden('-', pid);
        }
    }

    fn tell_warden(&mut self, change: char, pid: Pid) -> Result<()> {
        let warden = self.warden.as_mut().context("there is no warden")?;
        writeln!(warden, "{change} {pid}").context("the warden is gone")
    }
}

/// Keeps the set of live process groups by its input's lines, and kills them all at the end of the input.
const WARDEN: &str = r#"
live=' '
while read -r change group; do
    case $change in
    +) live="$live$group " ;;
    -) live="${live%% $group *} ${live#* $group }" ;;
    esac
done
for group in $live; do kill -9 "-$group"; done
"#;
