//! The messages of the control protocol, parsed from bytes (control-spec, "Replies from Tor to the
//! controller").
//!
//! No I/O: bytes go in as they arrive, in pieces of any length, and whole messages come out. Their meaning is
//! determined elsewhere. Everything that tor can send is bounded here.

use std::mem;

use super::data::{self, Block};

/// The most bytes of a line outside of data blocks. Tor's longest line, of an event, has a few hundred bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// The most bytes of a message with its data blocks. The longest that is asked for, all microdescriptors, has
/// about 5 MB, and the consensus 3 MB: this leaves the network room to grow tenfold.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// One reply to a command, or one asynchronous event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The status code of the last line, three digits.
    pub status: u16,
    /// All lines, including the last one (often `OK`); never empty.
    pub lines: Vec<Line>,
}

/// One line of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The text after the status code and its separator.
    pub text: String,
    /// The data block that follows the line, with LF line ends. tor can send 8 MB here.
    pub data: Option<Vec<u8>>,
}

impl Message {
    /// True for asynchronous events, with status codes 6xx.
    pub fn is_event(&self) -> bool {
        is_event(self.status)
    }
}

/// The bytes are not the control protocol's. Later bytes have no meaning: the connection must be closed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReplyError {
    /// A line that does not start with a status code and a separator.
    #[error("`{0}` is not a line of tor's control protocol: is this a control port?")]
    NotAReply(String),
    /// An event inside a reply, or the other way round. Tor queues its events until a reply is complete; so
    /// this is not tor, or bytes were lost.
    #[error("an event and a reply are mixed up")]
    EventInsideReply,
    /// A line longer than [`MAX_LINE`].
    #[error("a line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// A message longer than [`MAX_MESSAGE`].
    #[error("a message is longer than {MAX_MESSAGE} bytes")]
    MessageTooLong,
}

/// A parser that puts messages together.
#[derive(Default)]
pub struct Decoder {
    /// The line that has begun.
    partial: Vec<u8>,
    /// The finished lines of the message that has begun, and the status code of the first one.
    lines: Vec<Line>,
    first_status: Option<u16>,
    /// The data block that follows the last of `lines`; `None` if that has none or it is complete.
    block: Option<Block>,
    /// The size of the finished lines in memory, in bytes.
    size: usize,
}

impl Decoder {
    /// Takes bytes off `input` up to the end of the next message; `None` if all of them were taken before
    /// that.
    ///
    /// # Errors
    /// The bytes are not the control protocol's, or exceed a bound. The decoder cannot be used again.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ReplyError> {
        while !input.is_empty() {
            if self.block.is_some() {
                self.decode_block(input)?;
            } else if let Some(line) = self.decode_line(input)? {
                if let Some(message) = self.add_line(&line)? {
                    return Ok(Some(message));
                }
            }
        }
        Ok(None)
    }

    fn decode_block(&mut self, input: &mut &[u8]) -> Result<(), ReplyError> {
        let room = MAX_MESSAGE.saturating_sub(self.size);
        let Some(block) = &mut self.block else { return Ok(()) };
        if let Some(data) = block.decode(input, room).map_err(|_| ReplyError::MessageTooLong)? {
            self.block = None;
            self.size = self.size.saturating_add(data.len());
            if let Some(line) = self.lines.last_mut() {
                line.data = Some(data);
            }
        }
        Ok(())
    }

    fn decode_line(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, ReplyError> {
        let piece = data::take_line(input);
        if self.partial.len().saturating_add(piece.len()) > MAX_LINE {
            return Err(ReplyError::LineTooLong);
        }
        self.partial.extend_from_slice(piece);
        if !piece.ends_with(b"\n") {
            return Ok(None);
        }
        let mut line = mem::take(&mut self.partial);
        data::trim_line_end(&mut line);
        Ok(Some(line))
    }

    fn add_line(&mut self, line: &[u8]) -> Result<Option<Message>, ReplyError> {
        let (status, separator, text) = split(line).ok_or_else(|| ReplyError::NotAReply(excerpt(line)))?;
        if is_event(*self.first_status.get_or_insert(status)) != is_event(status) {
            return Err(ReplyError::EventInsideReply);
        }
        // An empty line costs more in memory than on the wire.
        self.size = self.size.saturating_add(size_of::<Line>()).saturating_add(text.len());
        if self.size > MAX_MESSAGE {
            return Err(ReplyError::MessageTooLong);
        }
        self.lines.push(Line { text: data::lossy(text.to_vec()), data: None });
        match separator {
            Separator::More => Ok(None),
            Separator::Data => {
                self.block = Some(Block::default());
                Ok(None)
            }
            Separator::End => Ok(Some(Message { status, lines: mem::take(self).lines })),
        }
    }
}

enum Separator {
    More,
    Data,
    End,
}

fn split(line: &[u8]) -> Option<(u16, Separator, &[u8])> {
    let [digits @ .., separator] = line.get(..4)? else { return None };
    let separator = match separator {
        b'-' => Separator::More,
        b'+' => Separator::Data,
        b' ' => Separator::End,
        _ => return None,
    };
    let mut status = 0;
    for digit in digits {
        status = status * 10 + u16::from(digit.is_ascii_digit().then(|| digit & 0x0F)?);
    }
    Some((status, separator, line.get(4..)?))
}

fn is_event(status: u16) -> bool {
    status / 100 == 6
}

/// The beginning of a line, escaped for a log.
pub(super) fn excerpt(line: &[u8]) -> String {
    line.get(..40).unwrap_or(line).escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TALK: &[u8] = b"250-version=0.4.9.11\r\n250+md/all=\r\nonion-key\r\n..x\r\n.\r\n250 OK\r\n\
        650 HS_DESC UPLOADED a UNKNOWN b\r\n\
        650+HS_DESC_CONTENT a b c\r\n\r\n.\r\n650 OK\r\n\
        250 TestingTorNetwork=0\n552 Unrecognized key \"\xFF\"\r\n";

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Message>, ReplyError> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(message) = decoder.decode(&mut input)? {
                messages.push(message);
            }
            assert!(input.is_empty());
        }
        Ok(messages)
    }

    fn line(text: &str) -> Line {
        Line { text: text.to_owned(), data: None }
    }

    fn data_line(text: &str, data: &str) -> Line {
        Line { text: text.to_owned(), data: Some(data.as_bytes().to_owned()) }
    }

    #[test]
    fn reads_replies_and_events() {
        let messages = decode(&[TALK]).unwrap();
        let expected = [
            (250, vec![line("version=0.4.9.11"), data_line("md/all=", "onion-key\n.x\n"), line("OK")]),
            (650, vec![line("HS_DESC UPLOADED a UNKNOWN b")]),
            (650, vec![data_line("HS_DESC_CONTENT a b c", "\n"), line("OK")]),
            (250, vec![line("TestingTorNetwork=0")]),
            (552, vec![line("Unrecognized key \"\u{FFFD}\"")]),
        ];
        assert_eq!(messages, expected.map(|(status, lines)| Message { status, lines }));
        assert_eq!(messages.iter().filter(|message| message.is_event()).count(), 2);
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for text in
            ["\r\n", "250\r\n", "25x OK\r\n", "250_OK\r\n", "HTTP/1.0 501 Tor is not an HTTP Proxy\r\n"]
        {
            let error = ReplyError::NotAReply(text.trim_end().to_owned());
            assert_eq!(decode(&[text.as_bytes()]), Err(error), "{text}");
        }
    }

    #[test]
    fn refuses_an_event_inside_a_reply_and_a_reply_inside_an_event() {
        assert_eq!(decode(&[b"250-a=b\r\n650 HS_DESC x\r\n"]), Err(ReplyError::EventInsideReply));
        assert_eq!(decode(&[b"650-a\r\n250 OK\r\n"]), Err(ReplyError::EventInsideReply));
    }

    #[test]
    fn bounds_a_line() {
        let mut wire = b"250 ".to_vec();
        wire.resize(MAX_LINE - 2, b'x');
        let longer = [&wire[..], b"x\r\n"].concat();
        wire.extend_from_slice(b"\r\n");
        assert_eq!(decode(&[&wire]).unwrap().len(), 1);
        assert_eq!(decode(&[&longer]), Err(ReplyError::LineTooLong));
    }

    #[test]
    fn bounds_a_message_by_what_it_takes_in_memory() {
        let lines = b"250-\r\n".repeat(MAX_MESSAGE / size_of::<Line>() + 1);
        assert_eq!(decode(&[&lines]), Err(ReplyError::MessageTooLong));

        let block = vec![b'x'; MAX_MESSAGE + 1];
        assert_eq!(decode(&[b"250+md/all=\r\n", &block]), Err(ReplyError::MessageTooLong));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(mut cuts in prop::collection::vec(0..TALK.len(), 0..40)) {
            cuts.extend([0, TALK.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &TALK[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), decode(&[TALK]));
        }

        #[test]
        fn nothing_panics(wire in prop::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'.'), Just(b'2'), Just(b'6'), Just(b' '), Just(b'-'), Just(b'+'), any::<u8>()],
            0..200,
        )) {
            let mut input = wire.as_slice();
            let mut decoder = Decoder::default();
            while let Ok(Some(message)) = decoder.decode(&mut input) {
                prop_assert!(!message.lines.is_empty());
            }
        }
    }
}
