//! Documents of the network as tor hands them out, and their common parts: lines and base64 (dir-spec,
//! "Document meta-format").

pub mod consensus;
pub mod microdesc;
pub mod router_status;

use data_encoding::BASE64_NOPAD;
use memchr::memchr;

/// A document's lines.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

/// One line without its newline.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// The text of the line.
    text: &'a [u8],
    /// The document from this line on.
    onward: &'a [u8],
    /// The number of the line, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let onward = self.rest;
        if onward.is_empty() {
            return None;
        }
        let end = memchr(b'\n', onward);
        let text = end.and_then(|end| onward.get(..end)).unwrap_or(onward);
        self.rest = end.and_then(|end| onward.get(end + 1..)).unwrap_or_default();
        self.number += 1;
        Some(Line { text, onward, number: self.number })
    }
}

/// Exactly `N` bytes from base64 without padding.
fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if BASE64_NOPAD.decode_len(text.len()) != Ok(N) {
        return None;
    }
    BASE64_NOPAD.decode_mut(text, &mut bytes).ok()?;
    Some(bytes)
}

/// The words of a line, which spaces separate.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lines_and_keeps_what_follows() {
        let text = b"one\n\nthree";
        let lines: Vec<_> =
            Lines::new(text).map(|line| (line.number, line.text, line.onward.len())).collect();
        assert_eq!(lines, [(1, b"one".as_slice(), 10), (2, b"", 6), (3, b"three", 5)]);
    }

    #[test]
    fn base64_has_one_length_and_no_padding() {
        assert_eq!(base64(b"AAAB"), Some([0, 0, 1]));
        for text in [b"AAA".as_slice(), b"AAAA=", b"AAB=", b"AAAAA", b"AA\xFFA", b""] {
            assert_eq!(base64::<3>(text), None, "{text:?}");
        }
    }
}
