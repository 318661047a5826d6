//! The reply of a signer that cannot start to the balancers that wait at the service manager's socket.
//!
//! A connection that is still pending when the process ends starts the next process at once, which ends for
//! the same reason (systemd.socket(5)). So each connection is accepted and gets a reply.

use std::os::unix::net::UnixListener;

use onionbalance_process::monotonic;
use onionbalance_proto::wire::Reply;

use super::connection::Connection;

/// The most connections that get a reply: many more than there are balancers.
const MAX_CONNECTIONS: usize = 64;

/// Replies to every connection that is pending at `listener` that the signer is not ready, with this reason.
/// `listener` has been [prepared](super::listen::prepare). No call waits: a balancer that does not take its
/// reply gets none.
///
/// The mode of the socket alone decides which users get the reason: the configuration with
/// `signer-allowed-uids` may be the file that cannot be read.
pub fn reply_to_all(listener: &UnixListener, reason: &str) {
    let reply = Reply::NotReady(reason.into());
    for _ in 0..MAX_CONNECTIONS {
        // The listener does not block: accepting fails if no connection is pending.
        let Ok((stream, _)) = listener.accept() else { return };
        let now = monotonic();
        let Ok(mut connection) = Connection::new(stream, now) else { continue };
        // A new connection's buffer has room for the reply. A balancer that has ended does not miss it.
        if connection.reply(&reply, now).is_ok() {
            // The kernel resets a connection that is closed with an unread request (`unix_release_sock`), and
            // the balancer might not see the reply. So the request is read.
            let _ = connection.advance(now);
        }
    }
}
