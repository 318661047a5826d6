//! The deployment of one test: a configuration with its keys, and the two programs.

use std::fmt::Display;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::network::{Daemon, Network};
use crate::programs::{Programs, Running};

/// The longest time from a program's start to its first output.
const SOON: Duration = Duration::from_secs(20);

/// Writes a file that its owner alone may read.
pub fn write_secret(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

/// A directory that every user may enter, with `config.yaml` and the files that it names.
#[derive(Debug)]
pub struct Deployment {
    directory: TempDir,
    logs: PathBuf,
    name: String,
}

impl Deployment {
    /// An empty directory. The programs' logs are beside those of the network's tors, under this name.
    pub fn new(network: &Network, name: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        Ok(Self { directory, logs: network.directory().to_owned(), name: name.to_owned() })
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that its owner alone may read.
    pub fn write_secret(&self, name: &str, text: impl AsRef<[u8]>) -> Result<()> {
        write_secret(&self.path(name), text)
    }

    /// Writes `config.yaml`, with which a signer serves on kernels without secret memory, too.
    pub fn configure(&self, yaml: impl Display) -> Result<()> {
        let yaml = format!("{yaml}signer-allow-locked-memory: true\n");
        Ok(fs::write(self.path("config.yaml"), yaml)?)
    }

    /// A copy of a program in a directory where every user may run it.
    pub fn copy(&self, program: &Path) -> Result<PathBuf> {
        let copy = self.path(&program.file_name().context("a program has a name")?.to_string_lossy());
        let copied = Command::new("cp").arg(program).arg(&copy).status()?;
        ensure!(copied.success(), "cannot copy {}", program.display());
        Ok(copy)
    }

    /// Starts the signer, and waits until it listens.
    pub fn signer(&self) -> Result<Running> {
        let mut command = Command::new(&Programs::build()?.signer);
        let signer = self.start(command.arg("-c").arg(self.path("config.yaml")), "signer")?;
        signer.wait_line("listening on", SOON)?;
        Ok(signer)
    }

    /// Starts the balancer at the control port of `tor`.
    pub fn balancer(&self, tor: &Daemon) -> Result<Running> {
        self.start(&mut self.balancer_command(&Programs::build()?.balancer, tor)?, "balancer")
    }

    /// The balancer that `program` is, to be started at the control port of `tor`.
    pub fn balancer_command(&self, program: &Path, tor: &Daemon) -> Result<Command> {
        let control = tor.control_address()?;
        let mut command = Command::new(program);
        command.args(["-i", &control.ip().to_string(), "-p", &control.port().to_string()]);
        command.arg("-c").arg(self.path("config.yaml"));
        Ok(command)
    }

    /// Starts a program that writes its log beside those of the network's tors.
    pub fn start(&self, command: &mut Command, role: &str) -> Result<Running> {
        Running::start(command, &self.logs.join(format!("{}-{role}.log", self.name)))
    }
}
