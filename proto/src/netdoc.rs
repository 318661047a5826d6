//! The text form that Tor's documents share (dir-spec, "document meta-format"): items of a keyword, arguments
//! and an optional object between `BEGIN` and `END` lines.
//!
//! ```text
//! keyword[ arguments]\n              the arguments: all of the line after the first space
//! [-----BEGIN label-----\n
//! base64, in lines of 64 characters\n
//! -----END label-----\n]             the same label
//! ```
//!
//! The order of items, and the number of times that each may occur, are not part of this form. The modules of
//! each document check them, by [`once`] and [`NetdocError::Missing`]. Unknown items are theirs to ignore.
//!
//! ```
//! use onionbalance_proto::netdoc::{NetdocError, items, once};
//!
//! let text = "revision-counter 7\nsuperencrypted\n-----BEGIN MESSAGE-----\nAAEC\n-----END MESSAGE-----\n";
//! let (mut revision, mut message) = (None, None);
//! for item in items(text) {
//!     let item = item?;
//!     match item.keyword {
//!         "revision-counter" => once(&mut revision, "revision-counter", item.number()?)?,
//!         "superencrypted" => once(&mut message, "superencrypted", item.object("MESSAGE")?)?,
//!         _ => {}
//!     }
//! }
//! assert_eq!(revision.ok_or(NetdocError::Missing("revision-counter"))?, 7);
//! assert_eq!(message, Some(vec![0, 1, 2]));
//! # Ok::<(), NetdocError>(())
//! ```

use data_encoding::{BASE64, BASE64_NOPAD, Encoding, Specification};
use std::sync::LazyLock;

const LINE_WIDTH: usize = 64;

/// One item of a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item<'a> {
    /// The first word of its line, up to the first space. Its characters are not checked.
    pub keyword: &'a str,
    /// The rest of the line after the keyword, without surrounding white space; empty if there is none.
    pub arguments: &'a str,
    /// The object on the following lines; `None`: the item has none.
    pub object: Option<Object<'a>>,
    /// The start of its line, in bytes from the start of the document, by which readers find the signed text.
    pub offset: usize,
}

/// An object: a label and base64 lines. [`Item::object`] decodes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object<'a> {
    /// The words after `BEGIN`, such as `RSA PUBLIC KEY`.
    pub label: &'a str,
    /// The lines between, line ends included.
    base64: &'a str,
}

/// A text is not a document of this form, or not of the form of one kind of document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetdocError {
    /// An object has a `BEGIN` line but no `END` line.
    #[error("an object has no END line")]
    Unterminated,
    /// An object or argument is not base64, or is truncated; the item's keyword.
    #[error("`{0}` is not valid base64")]
    Base64(String),
    /// A mandatory item is missing; its keyword.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// An item that may occur once occurs twice; its keyword.
    #[error("`{0}` occurs more than once")]
    Repeated(&'static str),
    /// An item's arguments or object do not have the form that the item requires; its keyword.
    #[error("`{0}` is malformed")]
    Malformed(String),
}

/// Splits a document into its items. Empty lines are skipped. Nothing is copied or decoded: an object that no
/// caller asks for costs one pass over its lines.
///
/// # Errors
/// An item whose object has no `END` line is [`NetdocError::Unterminated`], and the last one. There is no
/// other error: a line of any kind is an item.
pub fn items(text: &str) -> impl Iterator<Item = Result<Item<'_>, NetdocError>> {
    let mut lines = Lines { text, position: 0 };
    std::iter::from_fn(move || lines.next_item().transpose())
}

struct Lines<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lines<'a> {
    fn next_item(&mut self) -> Result<Option<Item<'a>>, NetdocError> {
        while let Some((offset, line)) = self.next_line() {
            if line.is_empty() {
                continue;
            }
            let (keyword, arguments) = line.split_once(' ').unwrap_or((line, ""));
            let object = self.object()?;
            return Ok(Some(Item { keyword, arguments: arguments.trim(), object, offset }));
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Option<(usize, &'a str)> {
        let offset = self.position;
        let rest = self.text.get(offset..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or(rest);
        self.position = offset + line.len() + 1;
        Some((offset, line))
    }

    fn object(&mut self) -> Result<Option<Object<'a>>, NetdocError> {
        let before = self.position;
        let Some(label) = self.next_line().and_then(|(_, line)| marker(line, "BEGIN")) else {
            self.position = before;
            return Ok(None);
        };
        let start = self.position;
        while let Some((offset, line)) = self.next_line() {
            if marker(line, "END") == Some(label) {
                let base64 = self.text.get(start..offset).unwrap_or_default();
                return Ok(Some(Object { label, base64 }));
            }
        }
        Err(NetdocError::Unterminated)
    }
}

fn marker<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")
}

impl Item<'_> {
    /// The bytes of the object. White space between its characters is ignored.
    ///
    /// # Errors
    /// The item has no object with this label ([`NetdocError::Malformed`]), or the object is not base64.
    pub fn object(&self, label: &str) -> Result<Vec<u8>, NetdocError> {
        let object =
            self.object.as_ref().filter(|object| object.label == label).ok_or_else(|| self.malformed())?;
        // One pass without the line ends, then a strict decoder: `data-encoding`'s own skipping is slower.
        let base64: String = object.base64.split_ascii_whitespace().collect();
        from_base64(&base64).ok_or_else(|| NetdocError::Base64(self.keyword.into()))
    }

    /// The arguments, one by one, without the white space between them. A reader that needs fewer ignores the
    /// rest, as tor does.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.arguments.split_ascii_whitespace()
    }

    /// The bytes of an argument in base64, with or without padding.
    ///
    /// # Errors
    /// The argument is `None` ([`NetdocError::Malformed`]), or is not base64.
    pub fn base64(&self, argument: Option<&str>) -> Result<Vec<u8>, NetdocError> {
        let text = argument.ok_or_else(|| self.malformed())?;
        from_base64(text).ok_or_else(|| NetdocError::Base64(self.keyword.into()))
    }

    /// The key of 32 bytes after the word for its kind, as in `ntor BASE64`. The types in
    /// [`v3::keys`](crate::v3::keys) check that the bytes are a usable key.
    ///
    /// # Errors
    /// [`NetdocError::Malformed`]: the first argument is not `kind`, or the second is missing or not of 32
    /// bytes. [`NetdocError::Base64`]: the second is not base64.
    ///
    /// ```
    /// # use onionbalance_proto::netdoc::items;
    /// let text = format!("onion-key ntor {}=", "A".repeat(43));
    /// for item in items(&text) {
    ///     assert_eq!(item?.key("ntor")?, [0; 32]);
    /// }
    /// # Ok::<(), onionbalance_proto::netdoc::NetdocError>(())
    /// ```
    pub fn key(&self, kind: &str) -> Result<[u8; 32], NetdocError> {
        let mut words = self.words();
        if words.next() != Some(kind) {
            return Err(self.malformed());
        }
        self.base64(words.next())?.try_into().map_err(|_| self.malformed())
    }

    /// The only argument as a decimal number without sign, 0 to `u64::MAX`.
    ///
    /// # Errors
    /// There is no argument or more than one, or it is another text or a greater number.
    pub fn number(&self) -> Result<u64, NetdocError> {
        if !self.arguments.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.malformed());
        }
        self.arguments.parse().map_err(|_| self.malformed())
    }

    /// The error that reports this item as malformed.
    pub fn malformed(&self) -> NetdocError {
        NetdocError::Malformed(self.keyword.into())
    }
}

/// Fills `place` with `value`: the check that an item occurs at most once.
///
/// # Errors
/// [`NetdocError::Repeated`]: the place is filled already. It has the later value then, so that the caller
/// drops the document.
pub fn once<T>(place: &mut Option<T>, keyword: &'static str, value: T) -> Result<(), NetdocError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NetdocError::Repeated(keyword)),
    }
}

/// Decodes base64 with or without padding, as tor does. `None`: the text is not base64, has white space in
/// it, or its unused trailing bits are not zero.
///
/// ```
/// use onionbalance_proto::netdoc::from_base64;
///
/// assert_eq!(from_base64("AQI="), from_base64("AQI"));
/// assert_eq!(from_base64("AQI"), Some(vec![1, 2]));
/// assert_eq!(from_base64("AQJ"), None);
/// ```
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if text.len() % 4 == 0 { BASE64.decode(text).ok() } else { BASE64_NOPAD.decode(text).ok() }
}

/// Appends an object: `BEGIN` line, base64 in lines of 64 characters, `END` line without its line end. 48
/// bytes make a full line, which takes 65 characters with its end.
///
/// ```
/// let mut text = "introduction-points\n".to_owned();
/// onionbalance_proto::netdoc::push_object(&mut text, "MESSAGE", &[0, 1, 2]);
/// assert_eq!(text, "introduction-points\n-----BEGIN MESSAGE-----\nAAEC\n-----END MESSAGE-----");
/// ```
pub fn push_object(text: &mut String, label: &str, bytes: &[u8]) {
    static WRAPPED: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification: Specification = BASE64.specification();
        specification.wrap.width = LINE_WIDTH;
        "\n".clone_into(&mut specification.wrap.separator);
        // Valid by construction; without wrapping the object would still decode.
        specification.encoding().unwrap_or(BASE64)
    });
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    WRAPPED.encode_append(bytes, text);
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "first 1 2\n\nsecond\n-----BEGIN THING-----\nAAEC\nAwQ=\n-----END THING-----\nlast x";

    #[test]
    fn splits_into_items_with_their_objects() {
        let all: Vec<Item<'_>> = items(TEXT).collect::<Result<_, _>>().unwrap();
        let keywords: Vec<_> = all.iter().map(|item| (item.keyword, item.arguments, item.offset)).collect();
        assert_eq!(keywords, [("first", "1 2", 0), ("second", "", 11), ("last", "x", 70)]);
        assert_eq!(all[1].object("THING").unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(all[1].object("OTHER"), Err(NetdocError::Malformed("second".into())));
        assert_eq!(all[0].object("THING"), Err(NetdocError::Malformed("first".into())));
    }

    #[test]
    fn notices_a_cut_object() {
        let cut = TEXT.get(..50);
        assert_eq!(items(cut.unwrap()).last(), Some(Err(NetdocError::Unterminated)));
    }

    #[test]
    fn numbers_have_no_sign() {
        for (text, value) in [("n 7", Some(7)), ("n +7", None), ("n -7", None), ("n", None), ("n 7 8", None)]
        {
            let item = items(text).next().unwrap().unwrap();
            assert_eq!(item.number().ok(), value, "{text}");
        }
    }

    #[test]
    fn objects_come_back() {
        for length in [0, 1, 47, 48, 49, 140, 10_000] {
            let bytes: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
            let mut text = "key\n".to_owned();
            push_object(&mut text, "THING", &bytes);
            let item = items(&text).next().unwrap().unwrap();
            assert_eq!(item.object("THING").unwrap(), bytes);
            assert!(text.lines().all(|line| line.len() <= LINE_WIDTH));
        }
    }
}
