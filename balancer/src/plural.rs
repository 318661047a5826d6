//! Numbers of things in words.

use std::fmt::Display;

/// `1 fault`, `2 faults`. The noun is in the singular.
pub(crate) fn count<N: Copy + Display + From<u8> + PartialEq>(number: N, noun: &str) -> String {
    if number == N::from(1) { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
