//! The tor that a balancer controls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::base::{Base, EARLY};
use super::control::Control;
use super::daemon::Daemon;
use super::ports;

/// A client tor with a SOCKS port, and with a control port on TCP and one on an AF_UNIX socket, both of which
/// survive its restart.
#[derive(Debug)]
pub struct Management {
    tor: Daemon,
    socket: PathBuf,
}

impl Management {
    pub(crate) fn start(base: &Base) -> Result<Self> {
        let socket = base.directory.sockets().join("control");
        let role = format!(
            "SocksPort 127.0.0.1:auto\nControlPort 127.0.0.1:{}\nControlSocket {}\n{EARLY}",
            ports::free()?,
            socket.display()
        );
        let tor = base.daemon("management", &role)?;
        tor.start()?;
        Ok(Self { tor, socket })
    }

    /// The control port's address.
    pub fn control_address(&self) -> Result<SocketAddr> {
        self.tor.control_address()
    }

    /// The control socket's path.
    pub fn control_socket(&self) -> &Path {
        &self.socket
    }

    /// A new control connection.
    pub fn control(&self) -> Result<Control> {
        self.tor.control()
    }

    /// Kills tor and starts it again, as after a crash under a service manager. It keeps its knowledge of the
    /// network.
    pub fn restart(&self) -> Result<()> {
        self.tor.kill()?;
        self.tor.start()
    }

    /// The tor itself.
    pub fn tor(&self) -> &Daemon {
        &self.tor
    }
}
