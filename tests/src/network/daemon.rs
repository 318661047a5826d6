//! One tor process: its directory, its life, its control port, its log.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::control::Control;
use crate::process::{Process, last_lines, lock, read_lossy};
use crate::provision::TorProgram;
use crate::wait::until;

/// A tor, running or not.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    directory: PathBuf,
    program: TorProgram,
    process: Mutex<Option<Process>>,
}

impl Daemon {
    /// Makes the directory `name` below `parent`, unless it is there, and writes the configuration.
    pub(crate) fn new(program: &TorProgram, parent: &Path, name: &str, torrc: &str) -> Result<Self> {
        let directory = parent.join(name);
        DirBuilder::new().mode(0o700).recursive(true).create(&directory)?;
        let daemon =
            Self { name: name.to_owned(), directory, program: program.clone(), process: Mutex::new(None) };
        daemon.configure(torrc)?;
        Ok(daemon)
    }

    /// Writes another configuration, for the next start.
    pub(crate) fn configure(&self, torrc: &str) -> Result<()> {
        fs::write(self.directory.join("torrc"), torrc).context("cannot write a torrc")
    }

    /// Starts or restarts tor, and waits until its control port answers.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts tor as [`Daemon::start`] does, but without network before [`Daemon::go_online`].
    pub fn start_offline(&self) -> Result<()> {
        self.start_with(&["--DisableNetwork", "1"])
    }

    /// Lets a tor that was started offline bootstrap.
    pub fn go_online(&self) -> Result<()> {
        self.control()?.send("SETCONF DisableNetwork=0").map(drop)
    }

    fn start_with(&self, options: &[&str]) -> Result<()> {
        let mut process = lock(&self.process);
        *process = None;
        for stale in [self.control_port_file(), self.cookie_file()] {
            // The file does not exist before the first start.
            let _ = fs::remove_file(stale);
        }
        let mut command = self.program.tor();
        command.arg("-f").arg(self.directory.join("torrc")).args(options);
        let started = Process::spawn(&mut command, &self.log_file())?;
        until(START_TIMEOUT, || self.is_listening(&started))
            .with_context(|| self.failure("did not open its control port"))?;
        *process = Some(started);
        Ok(())
    }

    /// Kills tor (SIGKILL), as if its machine had lost power.
    pub fn kill(&self) -> Result<()> {
        if let Some(process) = lock(&self.process).take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Freezes tor (SIGSTOP): its connections stay open, and are not answered.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Continues a frozen tor (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = lock(&self.process);
        process.as_ref().with_context(|| format!("{} is not running", self.name))?.signal(signal)
    }

    /// A new, authenticated connection to the control port.
    pub fn control(&self) -> Result<Control> {
        let cookie = fs::read(self.cookie_file()).with_context(|| self.failure("has no control cookie"))?;
        Control::connect(self.control_address()?, &cookie).with_context(|| self.failure("gives no control"))
    }

    /// The address of the control port in this run of tor.
    pub fn control_address(&self) -> Result<SocketAddr> {
        let written = read_lossy(&self.control_port_file())?;
        let address = written.lines().find_map(|line| line.strip_prefix("PORT="));
        address.and_then(|address| address.parse().ok()).with_context(|| self.failure("has no control port"))
    }

    /// The file with the 32 bytes that authenticate on the control port.
    pub fn cookie_file(&self) -> PathBuf {
        self.directory.join("control_auth_cookie")
    }

    /// Waits until tor could build circuits.
    pub fn wait_bootstrapped(&self) -> Result<()> {
        let mut control = self.control()?;
        control.set_events("STATUS_CLIENT")?;
        if control.getinfo("status/bootstrap-phase")?.contains("PROGRESS=100") {
            return Ok(());
        }
        let done = control.wait_event(BOOTSTRAP_TIMEOUT, |event| {
            event.text().contains(" BOOTSTRAP ") && event.text().contains("PROGRESS=100")
        })?;
        match done {
            Some(_) => Ok(()),
            None => bail!(self.failure("did not bootstrap")),
        }
    }

    /// tor's data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tor's log since its last start, notices and above.
    pub fn log(&self) -> Result<String> {
        read_lossy(&self.log_file())
    }

    /// A sentence about a failure, with the end of the log.
    pub(crate) fn failure(&self, what: &str) -> String {
        let log = self.log().unwrap_or_default();
        format!("{} {what}; the end of {}:\n{}", self.name, self.log_file().display(), last_lines(&log, 10))
    }

    fn is_listening(&self, process: &Process) -> Result<Option<()>> {
        if let Some(status) = process.exited()? {
            bail!("it ended ({status})");
        }
        let cookie = fs::metadata(self.cookie_file()).is_ok_and(|meta| meta.len() == 32);
        Ok((cookie && self.control_port_file().is_file()).then_some(()))
    }

    fn control_port_file(&self) -> PathBuf {
        self.directory.join("control-port")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(90);
