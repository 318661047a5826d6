//! The two programs at work beside each other, each as a user of its own.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::unistd::Uid;
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::programs::{Programs, Running};
use tempfile::TempDir;

use crate::made_up_tor::MadeUpTor;

/// `daemon`, as whom the signer runs.
pub(crate) const SIGNER: u32 = 1;
/// `nobody`, as whom the balancer runs.
pub(crate) const BALANCER: u32 = 65_534;
/// From a program's start, or a signal, to what comes of it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

const FRONT: &[u8] = include_bytes!("../../../proto/testdata/v3/front.pem");
const SERVICE: &str = "\
services:
- key: front.pem
  instances:
  - address: 25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid
";

/// The arguments that name the made-up tor.
pub(crate) const MADE_UP_TOR: [&str; 2] = ["-s", "tor/control"];
const TWO_USERS: &str = "\
signer-socket-location: run/signer
signer-user: daemon
signer-allowed-uids: [65534]
user: nobody
status-socket-location: balancer/status
LOG_LOCATION: balancer/log
";

/// A directory with a configuration and its key, and a tor.
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) tor: MadeUpTor,
}

impl Place {
    /// `more` is added to the configuration. The key is root's: the signer reads it before it becomes another user.
    pub(crate) fn new(more: &str) -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "this test starts programs that become other users: run it as root"
        );
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        write_secret(&directory.path().join("front.pem"), FRONT)?;
        fs::write(directory.path().join("config.yaml"), format!("{SERVICE}{more}"))?;
        fs::create_dir(directory.path().join("tor"))?;
        let tor = MadeUpTor::start(&directory.path().join("tor"))?;
        fs::set_permissions(tor.socket(), Permissions::from_mode(0o666))?;
        Ok(Self { directory, tor })
    }

    /// With a user for each program, and directories for what each makes.
    pub(crate) fn for_two() -> Result<Self> {
        let place = Self::new(TWO_USERS)?;
        place.prepare("run", SIGNER, BALANCER)?;
        place.prepare("balancer", BALANCER, BALANCER)?;
        Ok(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory as systemd-tmpfiles would; what is made in it belongs to its group.
    fn prepare(&self, name: &str, user: u32, group: u32) -> Result<()> {
        let path = self.path(name);
        DirBuilder::new().mode(0o750).create(&path)?;
        chown(&path, Some(user), Some(group))?;
        Ok(fs::set_permissions(path, Permissions::from_mode(0o2750))?)
    }

    /// The signer, to be started with this configuration.
    pub(crate) fn signer_command(&self) -> Result<Command> {
        Ok(self.command(&Programs::build()?.signer))
    }

    /// The balancer, to be started with this configuration, and arguments that say where tor is.
    pub(crate) fn balancer_command(&self, tor: [&str; 2]) -> Result<Command> {
        let mut command = self.command(&Programs::build()?.balancer);
        command.args(tor);
        Ok(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["-c", "config.yaml"]).current_dir(self.directory.path());
        command
    }

    /// Starts a program whose output has this name.
    pub(crate) fn start(&self, mut command: Command, name: &str) -> Result<Running> {
        Running::start(&mut command, &self.path(&format!("{name}.output")))
    }

    /// Starts the signer, and waits until it serves.
    pub(crate) fn signer(&self) -> Result<Running> {
        let signer = self.start(self.signer_command()?, "signer")?;
        signer.wait_line("serving at", SOON)?;
        Ok(signer)
    }

    /// Starts the balancer, and waits until tor has let it in.
    pub(crate) fn balancer(&self) -> Result<Running> {
        let balancer = self.start(self.balancer_command(MADE_UP_TOR)?, "balancer")?;
        balancer.wait_line("connected to tor", SOON)?;
        Ok(balancer)
    }
}

/// Both programs.
pub(crate) struct Pair {
    pub(crate) place: Place,
    pub(crate) signer: Running,
    pub(crate) balancer: Running,
}

impl Pair {
    /// Started by root, each has become its user.
    pub(crate) fn start() -> Result<Self> {
        let place = Place::for_two()?;
        let (signer, balancer) = (place.signer()?, place.balancer()?);
        Ok(Self { place, signer, balancer })
    }

    /// Each with its user.
    pub(crate) fn both(&self) -> [(&Running, u32); 2] {
        [(&self.signer, SIGNER), (&self.balancer, BALANCER)]
    }
}
