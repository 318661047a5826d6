//! Single values as Onionbalance up to 0.1.8 took them: a value that is false in Python meant not set.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, Visitor};

/// A value as it is written in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scalar<'a> {
    Switch(bool),
    Number(u64),
    Text(&'a str),
}

/// The setting of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Setting<T> {
    /// The key is set to this value.
    To(T),
    /// The key is set to the number 0, which meant not set.
    Zero,
    /// The key is set to an empty text or `False`, or has no value.
    Nothing,
}

impl<T> Setting<T> {
    /// The value, if there is one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::Zero | Self::Nothing => None,
        }
    }
}

/// Reads a value. It is judged while it is visited, so that an error has the value's own line.
pub(super) struct Reading<F> {
    /// The meaning of a value. `Ok(None)`: it has none, and `write` is the message. `Err`: it has none, for
    /// this reason.
    pub(super) meaning: F,
    /// The values that are allowed, for the message `write ...`.
    pub(super) write: &'static str,
}

/// A whole number, at least 1.
pub(super) fn number(value: Scalar<'_>) -> Option<u64> {
    match value {
        Scalar::Number(number) if number > 0 => Some(number),
        _ => None,
    }
}

impl<F> Reading<F> {
    fn read<T, E: de::Error>(self, scalar: Scalar<'_>) -> Result<Setting<T>, E>
    where
        F: FnOnce(Scalar<'_>) -> Result<Option<T>, String>,
    {
        match ((self.meaning)(scalar).map_err(E::custom)?, scalar) {
            (Some(value), _) => Ok(Setting::To(value)),
            (None, Scalar::Number(0)) => Ok(Setting::Zero),
            (None, Scalar::Text("") | Scalar::Switch(false)) => Ok(Setting::Nothing),
            (None, _) => Err(E::custom(format_args!("write {}", self.write))),
        }
    }
}

impl<'de, T, F: FnOnce(Scalar<'_>) -> Result<Option<T>, String>> DeserializeSeed<'de> for Reading<F> {
    type Value = Setting<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(Scalar<'_>) -> Result<Option<T>, String>> Visitor<'_> for Reading<F> {
    type Value = Setting<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Setting<T>, E> {
        Ok(Setting::Nothing)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Setting<T>, E> {
        self.read(Scalar::Switch(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Setting<T>, E> {
        self.read(Scalar::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Setting<T>, E> {
        self.read(Scalar::Text(value))
    }
}
