//! Frames: a header of eight bytes, then a body in bincode.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | `OB` |
//! | 2 | 2 | [`VERSION`], big-endian |
//! | 4 | 4 | length of the body, big-endian, at most [`Message::MAX_LENGTH`] |
//! | 8 | length | the body |
//!
//! The body is the message's fields in their order, without names or gaps:
//!
//! | value | form |
//! |---|---|
//! | number | its own size of 1, 2, 4 or 8 bytes, big-endian |
//! | truth value | 1 byte: 0 or 1 |
//! | key, signature, id | its bytes |
//! | variant of an enum | 4 bytes: its index, from 0; then its fields |
//! | optional value | 1 byte: 0 for `None`, 1 before the value |
//! | list, text | 8 bytes: the number of elements or of bytes of UTF-8; then these |
//! | onion address | as a text, with `.onion` |
//! | [`Refusal`](super::Refusal) | 2 bytes: its number |
//!
//! The golden files in `testdata/wire/` have a frame of each message with the name of each field. A false
//! length inside of a body is an error: it does not make the reader allocate so much.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

const MAGIC: [u8; 2] = *b"OB";
/// The protocol's version. It changes with every change of a message. Both programs come from one build, so
/// there is nothing to negotiate: a reader refuses every other version ([`FrameError::Version`]).
pub const VERSION: u16 = 4;

/// A message that travels in frames.
pub trait Message: Serialize + DeserializeOwned {
    /// The longest body, in bytes. A longer one is refused before a byte of it is read, and is not written.
    const MAX_LENGTH: usize;
}

/// Bytes are not a message. The connection that they came on cannot be used further.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The first two bytes are not the ones that every frame begins with: the peer speaks another protocol.
    #[error("not a frame of this protocol")]
    Magic,
    /// The frame has another version of the protocol; that version.
    #[error("protocol version {0}, expected {VERSION}: run the balancer and the signer of one release")]
    Version(u16),
    /// The body would be longer than any message of this type.
    #[error("frame of {length} bytes, at most {most} are allowed")]
    Length {
        /// The body's length, in bytes.
        length: usize,
        /// The longest allowed body, in bytes.
        most: usize,
    },
    /// The body is not a message, or has trailing bytes.
    #[error("malformed message: {0}")]
    Body(bincode::Error),
}

/// The header of a frame, known to precede a body of an allowed length.
///
/// ```
/// use onionbalance_proto::wire::{FrameError, Header, Request, VERSION};
///
/// let [v0, v1] = VERSION.to_be_bytes();
/// let header = Header::decode::<Request>([b'O', b'B', v0, v1, 0, 0, 0, 8])?;
/// assert_eq!(header.body_length(), 8);
/// assert!(matches!(Header::decode::<Request>(*b"GET / HT"), Err(FrameError::Magic)));
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Header {
    length: usize,
}

impl Header {
    /// The length of a header, in bytes.
    pub const LENGTH: usize = 8;

    /// Reads the header of a frame whose body is an `M`.
    ///
    /// # Errors
    /// [`FrameError::Magic`], [`FrameError::Version`]: the header is of another protocol, or of another
    /// version of this one. [`FrameError::Length`]: the body is longer than [`Message::MAX_LENGTH`].
    pub fn decode<M: Message>(bytes: [u8; Self::LENGTH]) -> Result<Self, FrameError> {
        let [m0, m1, v0, v1, length @ ..] = bytes;
        if [m0, m1] != MAGIC {
            return Err(FrameError::Magic);
        }
        let version = u16::from_be_bytes([v0, v1]);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > M::MAX_LENGTH {
            return Err(FrameError::Length { length, most: M::MAX_LENGTH });
        }
        Ok(Self { length })
    }

    /// The length of the body that follows, in bytes: 0 to [`Message::MAX_LENGTH`].
    pub fn body_length(self) -> usize {
        self.length
    }
}

/// A whole frame: header and body. Equal messages have equal frames.
///
/// # Errors
/// [`FrameError::Body`]: the body is longer than [`Message::MAX_LENGTH`].
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; Header::LENGTH];
    codec::<M>().serialize_into(&mut frame, message).map_err(FrameError::Body)?;
    let length = frame.len() - Header::LENGTH;
    let wire_length =
        u32::try_from(length).map_err(|_| FrameError::Length { length, most: M::MAX_LENGTH })?;
    let header = [&MAGIC[..], &VERSION.to_be_bytes(), &wire_length.to_be_bytes()].concat();
    frame.splice(..Header::LENGTH, header);
    Ok(frame)
}

/// The message in a frame's body, without the header. Its fields are as raw as they came: the signer judges
/// them.
///
/// # Errors
/// [`FrameError::Body`]: the body is malformed, or has trailing bytes.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, FrameError> {
    codec::<M>().deserialize(body).map_err(FrameError::Body)
}

/// The length of `part` in a frame's body, in bytes.
pub(super) fn encoded_length(part: &impl Serialize) -> usize {
    let length = encoding().serialized_size(part).unwrap_or(u64::MAX);
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn codec<M: Message>() -> impl Options {
    let limit = u64::try_from(M::MAX_LENGTH).unwrap_or(u64::MAX);
    encoding().with_limit(limit)
}

fn encoding() -> impl Options {
    bincode::options().with_big_endian().with_fixint_encoding().reject_trailing_bytes()
}

#[cfg(test)]
mod tests;
