//! Numbers and addresses in words.

use super::super::terminal;

/// A number of things, in words.
pub(super) fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// The first and the last characters of an onion address, in ASCII for every terminal.
pub(super) fn short(address: &str) -> String {
    terminal::short(address, "...")
}
