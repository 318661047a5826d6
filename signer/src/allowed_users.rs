//! The users that may connect besides root and the signer's own. A confined process cannot look names up, so
//! their uids are kept from the start.

use std::collections::BTreeMap;

use nix::unistd::{Uid, User};
use onionbalance_proto::config::AllowedUser;

/// The users that may connect.
pub struct AllowedUsers {
    uids: Vec<u32>,
    /// The uids of all names that were looked up.
    known: BTreeMap<String, u32>,
}

impl AllowedUsers {
    /// Looks the names of these users up. Not for a confined process.
    ///
    /// # Errors
    /// A name has no user, or cannot be looked up. The error is a message.
    pub fn look_up(users: &[AllowedUser]) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for user in users {
            let AllowedUser::Name(name) = user else { continue };
            let uid = match User::from_name(name) {
                Ok(Some(user)) => user.uid.as_raw(),
                Ok(None) => {
                    return Err(format!(
                        "there is no user {name}: install the package, or give a numeric uid"
                    ));
                }
                Err(errno) => {
                    return Err(format!("the user {name} cannot be looked up: {errno}; give a numeric uid"));
                }
            };
            known.insert(name.clone(), uid);
        }
        let uids = uids(users, &known)?;
        Ok(Self { uids, known })
    }

    /// The uids of these users, without looking names up.
    ///
    /// # Errors
    /// A name was not looked up at the start. The error is a message.
    pub fn resolved(&self, users: &[AllowedUser]) -> Result<Vec<u32>, String> {
        uids(users, &self.known)
    }

    /// Takes uids in place of the present ones.
    pub fn set(&mut self, uids: Vec<u32>) {
        self.uids = uids;
    }

    /// The uids that may connect.
    pub fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// True if all of them are root or the user `own`.
    pub fn are_own(&self, own: Uid) -> bool {
        self.uids.iter().all(|uid| [0, own.as_raw()].contains(uid))
    }
}

fn uids(users: &[AllowedUser], known: &BTreeMap<String, u32>) -> Result<Vec<u32>, String> {
    let uid = |user: &AllowedUser| match user {
        AllowedUser::Uid(uid) => Ok(*uid),
        AllowedUser::Name(name) => known.get(name).copied().ok_or_else(|| {
            format!(
                "the user {name} is new, and names are looked up at the start only: restart the signer, or \
                 give a numeric uid"
            )
        }),
    };
    users.iter().map(uid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_once() {
        let [root, other] = ["root", "nobody-of-this-name"].map(|name| AllowedUser::Name(name.to_owned()));
        let users = AllowedUsers::look_up(&[AllowedUser::Uid(7), root.clone()]).unwrap();
        assert_eq!(users.uids(), [7, 0]);
        assert!(!users.are_own(Uid::from_raw(8)) && users.are_own(Uid::from_raw(7)));
        assert_eq!(users.resolved(&[root, AllowedUser::Uid(9)]), Ok(vec![0, 9]));
        assert!(users.resolved(std::slice::from_ref(&other)).unwrap_err().contains("restart the signer"));
        let error = AllowedUsers::look_up(&[other]).err().unwrap();
        assert_eq!(error, "there is no user nobody-of-this-name: install the package, or give a numeric uid");
    }
}
