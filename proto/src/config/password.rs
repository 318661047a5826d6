//! Passwords of control ports.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A password of a control port. Its `Debug` form hides it.
#[derive(Clone, Eq, PartialEq)]
pub struct ControlPassword(pub String);

impl fmt::Debug for ControlPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[scrubbed]")
    }
}

impl<'de> Deserialize<'de> for ControlPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PasswordVisitor)
    }
}

/// Refuses each scalar itself: serde's own errors repeat the value that they found.
struct PasswordVisitor;

impl Visitor<'_> for PasswordVisitor {
    type Value = ControlPassword;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a password")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ControlPassword, E> {
        Ok(ControlPassword(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<ControlPassword, E> {
        Err(unquoted())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<ControlPassword, E> {
        Err(unquoted())
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<ControlPassword, E> {
        Err(unquoted())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<ControlPassword, E> {
        Err(unquoted())
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<ControlPassword, E> {
        Err(unquoted())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<ControlPassword, E> {
        Err(unquoted())
    }
}

/// YAML has read the text as another type and may have lost a part of it, such as a number's leading zeros.
fn unquoted<E: de::Error>() -> E {
    E::custom("a password is a text: put it in quotes")
}
