//! The mode of a listening socket.

use nix::sys::stat::{Mode, umask};

/// Calls `bind`, which makes a socket's file. The file has mode 0660 from its first moment, regardless of the
/// service manager's umask: owner and group may connect, nobody else.
///
/// The umask belongs to the whole process, and is restored afterwards. A file that another thread makes in
/// the meantime is subject to it, too.
pub fn with_mode_0660<T>(bind: impl FnOnce() -> T) -> T {
    let before = umask(Mode::from_bits_truncate(0o117));
    let bound = bind();
    umask(before);
    bound
}
