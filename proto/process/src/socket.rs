//! The mode of a listening socket.

use nix::sys::stat::{Mode, umask};

/// Calls `bind`, which makes a socket's file. The file has these permission bits from its first moment,
/// regardless of the service manager's umask. With 0660 owner and group may connect, and nobody else.
///
/// The umask belongs to the whole process, and is restored afterwards. A file that another thread makes in
/// the meantime is subject to it, too.
pub fn with_mode<T>(mode: u32, bind: impl FnOnce() -> T) -> T {
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let bound = bind();
    umask(before);
    bound
}
