//! The sources of connections: a socket of our own or the service manager's, or a stream inherited from the
//! balancer.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, getsockopt, listen, socket,
    sockopt,
};
use nix::unistd::Uid;
use onionbalance_process::with_mode;

use crate::system::guard;

/// Owner and group may connect, and nobody else.
const MODE: u32 = 0o660;

/// The process at the other end of a connection, by the kernel's word (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The process's id at the time of its `connect` or `socketpair`.
    pub pid: i32,
    /// The process's effective user id at that time.
    pub uid: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer_pid={} peer_uid={}", self.pid, self.uid)
    }
}

/// Listens at `path` with mode 0660 from the first moment: owner and group may connect, nobody else.
///
/// # Errors
/// Another signer serves at the path, something that is not a socket is there, or the socket cannot be made.
pub fn bind(path: &Path) -> io::Result<&'static UnixListener> {
    let place = path.display();
    let refused =
        |what| Err(io::Error::other(format!("{place} {what}, or set another signer-socket-location")));
    let failed = |error| {
        let remedy = "the directory must exist and be writable for the signer's user";
        io::Error::other(format!("cannot listen at {place}: {error}; {remedy}"))
    };
    if let Ok(found) = path.symlink_metadata() {
        if !found.file_type().is_socket() {
            return refused("exists and is not a socket: remove it");
        }
        match UnixStream::connect(path) {
            Ok(_) => return refused("is in use: another signer serves there; stop it"),
            // A signer that was killed left this socket behind.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    listen_at(path).map_err(failed)
}

fn listen_at(path: &Path) -> io::Result<&'static UnixListener> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    with_mode(MODE, || UnixAddr::new(path).and_then(|address| bind_socket(socket.as_raw_fd(), &address)))?;
    prepare(UnixListener::from(socket))
}

/// Makes a listener fit for untrusted peers: no call on it waits, as many peers may wait as the kernel allows
/// (`net.core.somaxconn`), and no peer may send descriptors, from the first one on.
///
/// The kernel alone closes the listener, at the end of the process: connections wait there, and descriptors
/// with them. The close of a socket does not linger in a process that ends (`inet_release`, `PF_EXITING`).
///
/// # Errors
/// The kernel refuses an option of the socket.
pub fn prepare(listener: UnixListener) -> io::Result<&'static UnixListener> {
    guard::refuse_descriptors(&listener);
    listener.set_nonblocking(true)?;
    listen(&listener, Backlog::MAXALLOWABLE)?;
    Ok(Box::leak(Box::new(listener)))
}

/// The connected stream that is standard input.
///
/// # Errors
/// Standard input is not a connected AF_UNIX stream.
pub fn inherited() -> io::Result<UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr().map_err(|_| {
        let what = "standard input is not a connected AF_UNIX stream: --inherited is for the balancer, which starts its own signer";
        io::Error::other(what)
    })?;
    guard::refuse_descriptors(&stream);
    Ok(stream)
}

/// The process at the other end.
///
/// # Errors
/// The kernel does not name it.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid() })
}

/// True if this user may send requests: the signer's own, root, and the users that the configuration names.
pub fn is_allowed(peer: Peer, also: &[u32]) -> bool {
    peer.uid == 0 || peer.uid == Uid::effective().as_raw() || also.contains(&peer.uid)
}
