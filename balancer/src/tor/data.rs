//! Data blocks of the control protocol: lines up to one that holds a single dot (control-spec, `CmdData`).
//!
//! On the wire lines end in CR LF, and a line that starts with a dot has another one before it. Here lines
//! end in LF, as in the documents that the blocks carry. A block that is not empty always ends in LF, because
//! the protocol cannot tell if the original did.

use std::mem;

/// A data block that is collected from pieces of any length, with one copy from the input.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    line_start: usize,
}

/// The block is longer than its limit.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TooLong;

impl Block {
    /// Takes the block's part off `input`, and returns the block after its last line.
    pub(super) fn decode(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Vec<u8>>, TooLong> {
        while !input.is_empty() {
            let piece = take_line(input);
            if self.bytes.len().saturating_add(piece.len()) > limit {
                return Err(TooLong);
            }
            self.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") && self.end_line() {
                return Ok(Some(mem::take(self).bytes));
            }
        }
        Ok(None)
    }

    /// Removes the encoding of the last line; true if it was the dot that ends the block.
    fn end_line(&mut self) -> bool {
        trim_line_end(&mut self.bytes);
        let line = self.bytes.get(self.line_start..).unwrap_or_default();
        if line == b"." {
            self.bytes.truncate(self.line_start);
            return true;
        }
        if line.starts_with(b".") {
            self.bytes.remove(self.line_start);
        }
        self.bytes.push(b'\n');
        self.line_start = self.bytes.len();
        false
    }
}

/// Appends `text` to `out` as a data block, including its final dot.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    for line in text.lines() {
        if line.starts_with('.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

/// Takes the bytes up to and including the next LF off `input`; all that are left if there is none.
pub(super) fn take_line<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let piece = input.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    *input = input.get(piece.len()..).unwrap_or_default();
    piece
}

/// Removes a final CR LF, or a bare LF.
pub(super) fn trim_line_end(line: &mut Vec<u8>) {
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
}

/// The text of `bytes`. Bytes that are not UTF-8 are replaced, never refused.
pub(super) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(mut wire: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
        let block = Block::default().decode(&mut wire, usize::MAX).unwrap();
        (block, wire)
    }

    #[test]
    fn undoes_dots_and_line_ends() {
        let wire = b"..dot\r\n...\r\n\r\nbare\na.b\r\n.\r\n250 OK\r\n";
        assert_eq!(decode(wire), (Some(b".dot\n..\n\nbare\na.b\n".to_vec()), &b"250 OK\r\n"[..]));
        assert_eq!(decode(b".\r\n").0.as_deref(), Some(&b""[..]));
        assert_eq!(decode(b"\xFFx\r\n.\r\n").0.as_deref(), Some(&b"\xFFx\n"[..]));
        assert_eq!(decode(b"unfinished\r\n."), (None, &b""[..]));
    }

    #[test]
    fn stops_at_the_limit() {
        let wire = b"1234\r\n.\r\n";
        assert_eq!(Block::default().decode(&mut &wire[..], 8).unwrap().as_deref(), Some(&b"1234\n"[..]));
        assert_eq!(Block::default().decode(&mut &wire[..], 7), Err(TooLong));
        assert_eq!(Block::default().decode(&mut &[b'x'; 9][..], 8), Err(TooLong));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(lines in prop::collection::vec("[.a\u{e9}]{0,4}", 0..20)) {
            let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            let mut wire = Vec::new();
            encode(&text, &mut wire);
            prop_assert_eq!(decode(&wire), (Some(text.into_bytes()), &b""[..]));
        }
    }
}
