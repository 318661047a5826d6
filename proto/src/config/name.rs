//! The name of a service or a backend.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::text;

/// The most characters of a name: two of them fit into a line of a terminal.
const MAX_LEN: usize = 40;

/// A name: 1 to 40 characters, none of them a control character, no blank at either end.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(String);

/// The text is not a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// The text has more than 40 characters.
    #[error("a name has at most {MAX_LEN} characters")]
    Length,
    /// The text has control characters, which would break lines of the log and of the status.
    #[error("a name has no line ends or other control characters")]
    ControlCharacter,
    /// The text begins or ends with a blank, so that it looks like another name.
    #[error("a name does not begin or end with a blank")]
    Blank,
    /// The text is an onion address, which could be mistaken for the backend's own.
    #[error("an onion address is not a name: remove `name`, the address is shown where there is none")]
    Address,
    /// The text is empty.
    #[error("a name has at least one character")]
    Empty,
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads a name. Fails for a text that is not one: see [`NameError`].
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        if text.trim() != text {
            return Err(NameError::Blank);
        }
        if text.chars().count() > MAX_LEN {
            return Err(NameError::Length);
        }
        if text.strip_suffix(".onion").is_some() {
            return Err(NameError::Address);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address with its name in front, as messages show it: `web1 (25njqamc….onion)`, or the address alone.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a, A>(pub Option<&'a Name>, pub &'a A);

impl<A: Display> Display for Named<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "{name} ({})", self.1),
            None => self.1.fmt(f),
        }
    }
}

/// Reads a name that may be missing. An empty name is `None`, because Onionbalance ignored names. Fails if
/// the text is not a name.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Name>, D::Error> {
    Ok(Option::<Written>::deserialize(deserializer)?.and_then(|written| written.0))
}

struct Written(Option<Name>);

impl FromStr for Written {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(Self(if text.is_empty() { None } else { Some(text.parse()?) }))
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_a_line() {
        let longest = "ü".repeat(MAX_LEN);
        for name in ["web1", "a machine", "x", &longest] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        let too_long = longest + "x";
        for (text, wanted) in [
            (too_long.as_str(), NameError::Length),
            ("a\nb", NameError::ControlCharacter),
            ("a\u{1b}[31m", NameError::ControlCharacter),
            (" web1", NameError::Blank),
            ("jyvfq5umznvka34v.onion", NameError::Address),
            ("", NameError::Empty),
        ] {
            assert_eq!(text.parse::<Name>(), Err(wanted), "{text}");
        }
    }

    #[test]
    fn the_name_stands_before_the_address() {
        let name = "web1".parse().unwrap();
        assert_eq!(Named(Some(&name), &"a.onion").to_string(), "web1 (a.onion)");
        assert_eq!(Named(None, &"a.onion").to_string(), "a.onion");
    }
}
