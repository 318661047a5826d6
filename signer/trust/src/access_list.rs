//! Access lists of files (acl(5)), in the form of the attribute `system.posix_acl_access` (`linux/posix_acl_xattr.h`).

/// The owner.
pub(crate) const USER_OBJ: u16 = 0x01;
/// A user by its id.
pub(crate) const USER: u16 = 0x02;
/// The file's own group.
pub(crate) const GROUP_OBJ: u16 = 0x04;
/// A group by its id.
pub(crate) const GROUP: u16 = 0x08;
/// The most that any entry gives, but those of the owner and of others.
pub(crate) const MASK: u16 = 0x10;
/// Everybody else.
const OTHER: u16 = 0x20;
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

const READ: u16 = 0o4;
/// Bytes of an entry: tag 2, permissions 2, id 4, each with the lowest first.
const ENTRY: usize = 8;

/// An entry of a list.
pub(crate) struct Entry {
    /// The kind of user or group that it is about: one of the constants, or a tag that is not known.
    pub(crate) tag: u16,
    /// Of the user or group that it names, if it names one.
    pub(crate) id: u32,
}

/// The entries of a list that let somebody read, as far as the mask does, without the one for everybody else, which the file's
/// mode has, too. `None` if its form is not known.
pub(crate) fn readers(list: &[u8]) -> Option<Vec<Entry>> {
    let entries = list.strip_prefix(&VERSION)?.chunks(ENTRY).map(|entry| {
        let [t0, t1, p0, p1, id @ ..] = <[u8; ENTRY]>::try_from(entry).ok()?;
        let [tag, permissions] = [[t0, t1], [p0, p1]].map(u16::from_le_bytes);
        Some((permissions, Entry { tag, id: u32::from_le_bytes(id) }))
    });
    let mut entries: Vec<(u16, Entry)> = entries.collect::<Option<_>>()?;
    let mask = entries.iter().find(|(_, entry)| entry.tag == MASK).map_or(READ, |(mask, _)| *mask);
    entries.retain(|(permissions, entry)| permissions & mask & READ != 0 && entry.tag != OTHER);
    Some(entries.into_iter().map(|(_, entry)| entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list with these tags, permissions and ids.
    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |&(tag, permissions, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [VERSION.to_vec(), entries.iter().flat_map(entry).collect()].concat()
    }

    fn found(list: &[u8]) -> Option<Vec<(u16, u32)>> {
        Some(readers(list)?.iter().map(|entry| (entry.tag, entry.id)).collect())
    }

    #[test]
    fn those_are_readers_whom_the_mask_lets_read() {
        let nobody = u32::MAX;
        let entries =
            [(USER_OBJ, 6, nobody), (USER, 4, 7), (USER, 2, 8), (GROUP_OBJ, 0, nobody), (OTHER, 4, nobody)];
        let without_mask = [(USER_OBJ, nobody), (USER, 7)];
        assert_eq!(found(&list(&entries)), Some(without_mask.to_vec()));
        let masked = |mask| list(&[&entries[..], &[(MASK, mask, nobody)]].concat());
        assert_eq!(found(&masked(4)), Some([&without_mask[..], &[(MASK, nobody)]].concat()));
        assert_eq!(found(&masked(2)), Some(Vec::new()));
    }

    #[test]
    fn a_list_of_another_form_is_none() {
        let whole = list(&[(USER, 4, 7)]);
        assert!(found(&whole).is_some());
        for other in [&[][..], &whole[..whole.len() - 1], &whole[1..], &[&[3], &whole[1..]].concat()] {
            assert_eq!(found(other), None);
        }
    }
}
