//! The two programs, each as a user of its own. Their tor is made up: it authenticates the balancer, and
//! never becomes ready.

mod made_up_tor;

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::deployment::write_secret;
use crate::programs::{Programs, Running};
use anyhow::Result;
use tempfile::TempDir;

pub use self::made_up_tor::MadeUpTor;

/// `daemon`, the signer's user.
pub const SIGNER: u32 = 1;
/// `nobody`, the balancer's user.
pub const BALANCER: u32 = 65_534;
/// The longest time from a program's start, or a signal, to its effect.
pub const SOON: Duration = Duration::from_secs(20);

const FRONT: &[u8] = include_bytes!("../../../proto/testdata/v3/front.pem");
const SERVICE: &str = "\
services:
- key: front.pem
  instances:
  - address: 25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid
";

/// The arguments that name the made-up tor.
pub const MADE_UP_TOR: [&str; 2] = ["-s", "tor/control"];
const TWO_USERS: &str = "\
signer-socket-location: run/signer
signer-user: daemon
signer-allowed-uids: [65534]
user: nobody
status-socket-location: balancer/status
LOG_LOCATION: balancer/log
";

/// A directory with a configuration and its key, and a tor.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    /// The made-up tor.
    pub tor: MadeUpTor,
}

impl Place {
    /// A directory with this configuration and its key. `more` is added to the configuration. The key is
    /// root's: the signer reads it before it becomes another user.
    pub fn new(more: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        write_secret(&directory.path().join("front.pem"), FRONT)?;
        fs::write(directory.path().join("config.yaml"), format!("{SERVICE}{more}"))?;
        fs::create_dir(directory.path().join("tor"))?;
        let tor = MadeUpTor::start(&directory.path().join("tor"))?;
        Ok(Self { directory, tor })
    }

    /// With a user for each program, and directories for what each makes.
    pub fn for_two() -> Result<Self> {
        let place = Self::new(TWO_USERS)?;
        place.prepare("run", SIGNER, BALANCER)?;
        place.prepare("balancer", BALANCER, BALANCER)?;
        Ok(place)
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory as systemd-tmpfiles would; files in it get its group.
    fn prepare(&self, name: &str, user: u32, group: u32) -> Result<()> {
        let path = self.path(name);
        DirBuilder::new().mode(0o750).create(&path)?;
        chown(&path, Some(user), Some(group))?;
        Ok(fs::set_permissions(path, Permissions::from_mode(0o2750))?)
    }

    /// The signer, to be started with this configuration.
    pub fn signer_command(&self) -> Result<Command> {
        Ok(self.command(&Programs::build()?.signer))
    }

    /// The balancer, to be started with this configuration, and arguments that name tor's control port.
    pub fn balancer_command(&self, tor: [&str; 2]) -> Result<Command> {
        let mut command = self.command(&Programs::build()?.balancer);
        command.args(tor);
        Ok(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["-c", "config.yaml"]).current_dir(self.directory.path());
        command
    }

    /// Starts a program with its output in a file of this name.
    pub fn start(&self, mut command: Command, name: &str) -> Result<Running> {
        Running::start(&mut command, &self.path(&format!("{name}.output")))
    }

    /// Starts the signer, and waits until it serves.
    pub fn signer(&self) -> Result<Running> {
        let signer = self.start(self.signer_command()?, "signer")?;
        signer.wait_line("listening on", SOON)?;
        Ok(signer)
    }

    /// Starts the balancer, and waits until tor has let it in.
    pub fn balancer(&self) -> Result<Running> {
        let balancer = self.start(self.balancer_command(MADE_UP_TOR)?, "balancer")?;
        balancer.wait_line("connected to tor", SOON)?;
        Ok(balancer)
    }
}

/// Both programs, running.
#[derive(Debug)]
pub struct Pair {
    /// The directory in which they were started.
    pub place: Place,
    /// `onionbalance-signer`.
    pub signer: Running,
    /// `onionbalance`.
    pub balancer: Running,
}

impl Pair {
    /// Starts both as root; each becomes its user.
    pub fn start() -> Result<Self> {
        let place = Place::for_two()?;
        let (signer, balancer) = (place.signer()?, place.balancer()?);
        Ok(Self { place, signer, balancer })
    }

    /// The programs, each with its user.
    pub fn both(&self) -> [(&Running, u32); 2] {
        [(&self.signer, SIGNER), (&self.balancer, BALANCER)]
    }
}
