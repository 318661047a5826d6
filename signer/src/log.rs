//! Log lines on standard error, with the priority in front that the journal reads (sd-daemon(3)) unless a person does.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Priority {
    /// The signer cannot go on; someone must act.
    Error = 3,
    /// Someone will want to know.
    Warning = 4,
    /// The normal course of things.
    Info = 6,
}

static FOR_A_PERSON: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());

/// Finds out whether a person reads. Has to be done while the process may still ask.
pub fn prepare() {
    LazyLock::force(&FOR_A_PERSON);
}

/// Writes one line, at once. Line ends and other control characters in `message` are shown escaped: a line stays one line.
pub fn line(priority: Priority, message: impl Display) {
    let mut text = if *FOR_A_PERSON { String::new() } else { format!("<{}>", priority as u8) };
    for character in message.to_string().chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    // A log that nobody reads any more is no reason to stop signing.
    let _ = io::stderr().write_all(text.as_bytes());
}
