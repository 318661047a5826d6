//! The output of tor's control port, in pieces of any length. The messages do not depend on the pieces, take
//! memory in proportion, and are the same after being written and read.
//!
//! The first byte of an input is the length of a piece.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onionbalance::tor::Event;
use onionbalance::tor::reply::{Decoder, Message, ReplyError};

fuzz_target!(|input: &[u8]| {
    let Some((length, wire)) = input.split_first() else { return };
    let decoded = decode(wire.chunks(usize::from(*length).max(1)));
    assert_eq!(decoded, decode([wire].into_iter()));

    let (messages, _) = decoded;
    let texts = messages.iter().flat_map(|message| &message.lines);
    let held: usize = texts.map(|line| line.text.len() + line.data.as_ref().map_or(0, Vec::len)).sum();
    // A byte that is not UTF-8 becomes a character of three bytes.
    assert!(held <= 3 * wire.len());
    for message in messages {
        let written = write(&message);
        assert_eq!(decode([&written[..]].into_iter()), (vec![message.clone()], Ok(())));
        if message.is_event() {
            let _ = Event::parse(message);
        }
    }
});

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Result<(), ReplyError>) {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}

/// The message as tor would send it.
fn write(message: &Message) -> Vec<u8> {
    let mut wire = Vec::new();
    for (index, line) in message.lines.iter().enumerate() {
        let separator = match &line.data {
            Some(_) => '+',
            None if index + 1 < message.lines.len() => '-',
            None => ' ',
        };
        wire.extend_from_slice(format!("{:03}{separator}{}\r\n", message.status, line.text).as_bytes());
        if let Some(data) = &line.data {
            for line in data.split_inclusive(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let dot: &[u8] = if line.starts_with(b".") { b"." } else { b"" };
                wire.extend([dot, line, b"\r\n"].concat());
            }
            wire.extend_from_slice(b".\r\n");
        }
    }
    wire
}
