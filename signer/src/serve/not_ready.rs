//! The reply of a signer that cannot start to the balancers that wait at the socket of the service manager.
//!
//! A connection that is still pending when the process ends starts the next process at once, which ends for the same reason
//! (systemd.socket(5)). So each one is accepted and gets a reply.

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use onionbalance_proto::wire::frame::{self, Message};
use onionbalance_proto::wire::{Reply, Request};

/// The most connections that get a reply: many more than there are balancers.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request that are read at a time.
const AT_A_TIME: usize = 16 * 1024;

/// Replies to every connection that is pending at `listener`, which has been [prepared](super::listen::prepare), that the signer is not ready, with this reason. Waits for nothing:
/// a balancer that does not take its reply gets none.
///
/// The mode of the socket alone decides which users get the reason: the configuration with `signer-allowed-uids` may be the
/// file that cannot be read.
pub fn reply_to_all(listener: &UnixListener, reason: &str) {
    let Ok(frame) = frame::encode(&Reply::NotReady(reason.into())) else { return };
    for _ in 0..MAX_CONNECTIONS {
        // The listener does not block: without a pending connection this is an error.
        let Ok((stream, _)) = listener.accept() else { return };
        // A balancer that has gone does not miss its reply.
        let _ = reply(&stream, &frame);
    }
}

/// Sends the reply, for which the buffer of a new connection has room, and reads what has been asked: the kernel resets a
/// connection that is closed with unread bytes (`unix_release_sock`), and the client might not see the reply.
fn reply(stream: &UnixStream, frame: &[u8]) -> Result<(), Errno> {
    // By flags and not by `fcntl` or `ioctl`, which the filter of system calls does not allow.
    send(stream.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?;
    let mut asked = [0; AT_A_TIME];
    for _ in 0..Request::MAX_LENGTH.div_ceil(AT_A_TIME) {
        if recv(stream.as_raw_fd(), &mut asked, MsgFlags::MSG_DONTWAIT)? == 0 {
            break;
        }
    }
    Ok(())
}
