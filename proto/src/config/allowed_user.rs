//! The users that may speak to the signer.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A user of this machine, as the file names it. Only the machine knows the uid that belongs to a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AllowedUser {
    /// The user with this numeric user id.
    Uid(u32),
    /// The user with this name, which is not a number.
    Name(String),
}

impl fmt::Display for AllowedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for AllowedUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AllowedUserVisitor)
    }
}

struct AllowedUserVisitor;

impl Visitor<'_> for AllowedUserVisitor {
    type Value = AllowedUser;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user name or a numeric uid")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<AllowedUser, E> {
        value.try_into().map(AllowedUser::Uid).map_err(|_| E::custom(format_args!("{value} is not a uid")))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<AllowedUser, E> {
        if value.is_empty()
            || value.bytes().all(|byte| byte.is_ascii_digit())
            || value.contains(char::is_control)
        {
            return Err(E::custom("write a user name, or a numeric uid without quotes"));
        }
        Ok(AllowedUser::Name(value.to_owned()))
    }
}
