//! Access lists of files (acl(5)), as the kernel gives them. [`onionbalance_trust`] judges them.

#![expect(unsafe_code, reason = "extended attributes have no safe interface")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// The size in bytes of a list of 128 entries, behind a version of 4 bytes.
const MAX_LENGTH: usize = 4 + 128 * 8;

/// The attribute `system.posix_acl_access` of an open file; empty if the file has none.
///
/// # Errors
/// The kernel does not give it, or it has more than 128 entries (`ERANGE`).
pub fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MAX_LENGTH];
    let name = c"system.posix_acl_access";
    // SAFETY: the kernel writes no more than this many bytes there.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    let length = match Errno::result(length) {
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => 0,
        length => length?.unsigned_abs(),
    };
    bytes.truncate(length);
    Ok(bytes)
}
