//! A socket in the file system at which this process alone listens.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use onionbalance_process::with_mode;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// The longest wait for the answer of a process that may listen already.
const PATIENCE: Duration = Duration::from_secs(5);

/// A listening socket, whose file is removed at the end.
#[derive(Debug)]
pub(crate) struct LocalSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// The reason for which there is no socket.
#[derive(Debug)]
pub(crate) enum BindError {
    /// It cannot be made: the error of `bind`.
    Create(io::Error),
    /// Another process listens there; its id, or `None` if the kernel does not report it.
    Taken(Option<i32>),
}

impl LocalSocket {
    /// Listens at `path`. A socket at which no process listens is replaced. It has the mode from its first
    /// moment.
    ///
    /// # Errors
    /// Another process listens there, or the socket cannot be created.
    pub(crate) async fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            match listener_at(path).await {
                Listener::Somebody(pid) => return Err(BindError::Taken(pid)),
                Listener::Nobody => std::fs::remove_file(path).map_err(BindError::Create)?,
                // `bind` reports the obstacle.
                Listener::Unknown => {}
            }
        }
        let listener = with_mode(mode, || UnixListener::bind(path)).map_err(BindError::Create)?;
        let inode = path.symlink_metadata().map_err(BindError::Create)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }
}

/// The process that listens at a socket.
enum Listener {
    /// This process; `None` if the kernel does not report it, as for one in another pid namespace.
    Somebody(Option<i32>),
    /// No process: the socket was left behind.
    Nobody,
    /// The socket has another type, or its owner lets nobody else connect.
    Unknown,
}

async fn listener_at(path: &Path) -> Listener {
    match timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Listener::Somebody(stream.peer_cred().ok().and_then(|peer| peer.pid())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Listener::Nobody,
        // The queue of its connections is full.
        Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Listener::Somebody(None),
        Ok(Err(_)) => Listener::Unknown,
        Err(_) => Listener::Somebody(None),
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // A balancer that was started in the meantime may have put its own socket there.
        if self.path.symlink_metadata().is_ok_and(|found| found.ino() == self.inode) {
            // A failure at the end can no longer be reported.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
