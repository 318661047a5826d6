//! Access lists of files (acl(5)), as the kernel gives them in the attribute `system.posix_acl_access`.

#![expect(unsafe_code, reason = "extended attributes have no safe interface")]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// The tags of entries, and the version of their form (`linux/posix_acl_xattr.h`).
pub const USER_OBJ: u16 = 0x01;
/// A user by its id.
pub const USER: u16 = 0x02;
/// The file's own group.
pub const GROUP_OBJ: u16 = 0x04;
/// A group by its id.
pub const GROUP: u16 = 0x08;
/// The most that any entry gives, but those of the owner and of others.
pub const MASK: u16 = 0x10;
/// Everybody else.
const OTHER: u16 = 0x20;
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

const READ: u16 = 0o4;
/// Bytes of an entry: tag, permissions, id.
const ENTRY: usize = 8;
/// Bytes of a list at most; a longer one is an error.
const MAX_LENGTH: usize = VERSION.len() + 128 * ENTRY;

/// An entry of a list.
pub struct Entry {
    /// The kind of user or group that it is about: one of the constants, or a tag that is not known.
    pub tag: u16,
    /// Of the user or group that it names, if it names one.
    pub id: u32,
    /// Whether it lets them read, as far as the mask does.
    pub may_read: bool,
}

/// The access list of an open file without the entry for everybody else, which the file's mode has, too. It is empty where a
/// file has none.
///
/// # Errors
/// The kernel does not give it, it has more than 128 entries (`ERANGE`), or a form that is not known (`EINVAL`).
pub fn read(file: &File) -> Result<Vec<Entry>, Errno> {
    let mut bytes = [0; MAX_LENGTH];
    let name = c"system.posix_acl_access";
    // SAFETY: the kernel writes no more than this many bytes there.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    match Errno::result(length) {
        Ok(length) => parse(bytes.get(..length.unsigned_abs()).unwrap_or_default()).ok_or(Errno::EINVAL),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let entries = bytes.strip_prefix(&VERSION)?.chunks(ENTRY).map(|entry| {
        let (tag, rest) = entry.split_first_chunk()?;
        let (permissions, id) = rest.split_first_chunk()?;
        let [tag, permissions] = [tag, permissions].map(|bytes| u16::from_le_bytes(*bytes));
        Some((tag, permissions, u32::from_le_bytes(id.try_into().ok()?)))
    });
    let entries: Vec<(u16, u16, u32)> = entries.collect::<Option<_>>()?;
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(READ, |(_, mask, _)| *mask);
    let own = entries.into_iter().filter(|(tag, ..)| *tag != OTHER);
    let entry = |(tag, permissions, id)| Entry { tag, id, may_read: permissions & mask & READ != 0 };
    Some(own.map(entry).collect())
}
