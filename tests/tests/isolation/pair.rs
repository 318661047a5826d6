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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory as systemd-tmpfiles would; what is made in it belongs to its group.
    pub(crate) fn prepare(&self, name: &str, user: u32, group: u32) -> Result<()> {
        let path = self.path(name);
        DirBuilder::new().mode(0o750).create(&path)?;
        chown(&path, Some(user), Some(group))?;
        Ok(fs::set_permissions(path, Permissions::from_mode(0o2750))?)
    }

    /// Starts a program with this configuration and these arguments.
    pub(crate) fn start(&self, program: &Path, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(program);
        command.args(["-c", "config.yaml"]).args(arguments).current_dir(self.directory.path());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Running::start(&mut command, &self.path(&format!("{name}.output")))
    }

    /// Starts the balancer at the made-up tor, and waits until it has been let in.
    pub(crate) fn balancer(&self) -> Result<Running> {
        let balancer = self.start(&Programs::build()?.balancer, &["-s", "tor/control"])?;
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
        let place = Place::new(&format!(
            "signer-socket-location: run/signer\nsigner-user: daemon\nsigner-allowed-uids: [{BALANCER}]\n\
             user: nobody\nstatus-socket-location: balancer/status\nLOG_LOCATION: balancer/log\n"
        ))?;
        place.prepare("run", SIGNER, BALANCER)?;
        place.prepare("balancer", BALANCER, BALANCER)?;
        let signer = place.start(&Programs::build()?.signer, &[])?;
        signer.wait_line("serving at", SOON)?;
        let balancer = place.balancer()?;
        Ok(Self { place, signer, balancer })
    }

    /// Each with its user.
    pub(crate) fn both(&self) -> [(&Running, u32); 2] {
        [(&self.signer, SIGNER), (&self.balancer, BALANCER)]
    }
}
