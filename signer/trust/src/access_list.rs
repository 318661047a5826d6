//! Access lists of files (acl(5)), in the form of the attribute `system.posix_acl_access`
//! (`linux/posix_acl_xattr.h`).

/// The entry of the file's owner.
pub(crate) const USER_OBJ: u16 = 0x01;
/// The entry of a user with this id.
pub(crate) const USER: u16 = 0x02;
/// The entry of the file's own group.
pub(crate) const GROUP_OBJ: u16 = 0x04;
/// The entry of a group with this id.
pub(crate) const GROUP: u16 = 0x08;
/// The mask: the most permissions of any entry except those of the owner and of others.
pub(crate) const MASK: u16 = 0x10;
/// The entry of all other users.
const OTHER: u16 = 0x20;
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

const READ: u16 = 0o4;
/// The length of an entry in bytes: tag 2, permissions 2, id 4, each little-endian.
const ENTRY: usize = 8;

/// An entry of a list.
pub(crate) struct Entry {
    /// The kind of user or group: one of the constants, or an unknown tag.
    pub(crate) tag: u16,
    /// The id of the user or group; without meaning for the other tags.
    pub(crate) id: u32,
}

/// The entries of a list that give read permission within the mask. The entry of all other users is left out,
/// because the file's mode has it, too. `None`: the form of the list is unknown.
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
    fn readers_have_read_permission_within_the_mask() {
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
