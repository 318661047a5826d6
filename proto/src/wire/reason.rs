//! The reason why a signer is not ready, as a text for people.
//!
//! A reason reaches the balancer's log and an operator's terminal. So the type holds nothing that could forge
//! a line of the log or control a terminal, whichever side made it.

use serde::{Deserialize, Serialize};

/// The longest reason, in bytes of UTF-8.
const MAX_LENGTH: usize = 1024;

/// One line of at most 1024 bytes of UTF-8, without control characters.
///
/// ```
/// use onionbalance_proto::wire::Reason;
///
/// assert_eq!(String::from(Reason::from("no key\n\u{1b}[31m")), "no key  [31m");
/// assert_eq!(String::from(Reason::from("x".repeat(2000).as_str())).len(), 1024);
/// assert!(Reason::try_from("two\nlines".to_owned()).is_err());
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl From<&str> for Reason {
    /// Line ends and other control characters become spaces. A text that is too long is cut, and ends with
    /// `…`.
    fn from(text: &str) -> Self {
        const CUT: char = '…';
        let clean = |character: char| if character.is_control() { ' ' } else { character };
        let mut line: String = text.chars().map(clean).collect();
        if line.len() > MAX_LENGTH {
            let most = MAX_LENGTH - CUT.len_utf8();
            let end = (0..=most).rev().find(|index| line.is_char_boundary(*index));
            line.truncate(end.unwrap_or_default());
            line.push(CUT);
        }
        Self(line)
    }
}

/// A text is not one line of at most 1 KiB, as a signer writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the reason is not one short line")]
pub struct NotALine;

impl TryFrom<String> for Reason {
    type Error = NotALine;

    /// Takes a text from the wire as it is.
    ///
    /// # Errors
    /// The text has more than 1024 bytes, or a control character: no signer writes such a reason.
    fn try_from(text: String) -> Result<Self, NotALine> {
        if Self::from(text.as_str()).0 == text { Ok(Self(text)) } else { Err(NotALine) }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        let reason = |text: &str| String::from(Reason::from(text));
        assert_eq!(reason("config.yaml:2: no key"), "config.yaml:2: no key");
        assert_eq!(reason("a\nb\u{1b}[31m"), "a b [31m");
        for long in ["x".repeat(1025), "ß".repeat(600), "\u{10FFFF}".repeat(9000)] {
            let cut = reason(&long);
            assert!((1020..=1024).contains(&cut.len()) && cut.ends_with('…'), "{}", cut.len());
        }
        assert_eq!(reason(&"x".repeat(1024)).len(), 1024);
    }

    #[test]
    fn the_wire_has_nothing_else() {
        for text in ["config.yaml:2: no key", "", "a\nb", "\0", &"x".repeat(1025)] {
            let is_line = String::from(Reason::from(text)) == text;
            assert_eq!(Reason::try_from(text.to_owned()).is_ok(), is_line, "{text:?}");
        }
    }
}
