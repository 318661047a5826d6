//! The mode of a socket's file.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// The mode of a socket's file, of which its owner has at least reading and writing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketMode(u32);

/// Reading and writing for the owner, without which the program itself could not use the socket.
const OWNERS: u32 = 0o600;
/// The permissions of owner, group and others.
const ALL: u32 = 0o777;
/// The message for any other text.
const WRITE: &str = "write a mode in octal digits such as 0660, which begins with 6 or 7 for the owner";

impl SocketMode {
    /// The permission bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    /// Owner and group may connect.
    fn default() -> Self {
        Self(0o660)
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text as it is written: YAML takes 0660 and 660 for numbers that are not octal.
        deserializer.deserialize_str(SocketModeVisitor)
    }
}

struct SocketModeVisitor;

impl Visitor<'_> for SocketModeVisitor {
    type Value = SocketMode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mode in octal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketMode, E> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let is_digits = (3..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(digits, 8).ok().filter(|_| is_digits);
        let is_mode = |mode: &u32| mode & OWNERS == OWNERS && *mode <= ALL;
        mode.filter(is_mode).map(SocketMode).ok_or_else(|| E::custom(WRITE))
    }
}
