//! The arguments in a line of the control protocol: `VALUE`, `KEY=VALUE`, `KEY="quoted value"`.

use std::iter::Peekable;
use std::str::Bytes;

/// One argument. Values are bytes: a quoted one may hold anything, for example a path.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Word {
    /// The key; empty for an argument that is only a value.
    pub(super) key: String,
    /// The value without its quotes and escapes.
    pub(super) value: Vec<u8>,
}

impl Word {
    /// The value as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// The arguments of `line`, in order; `None` if a quote is never closed.
pub(super) fn words(line: &str) -> Option<Vec<Word>> {
    let mut bytes = line.bytes().peekable();
    let mut words = Vec::new();
    while bytes.peek().is_some() {
        if bytes.next_if_eq(&b' ').is_none() {
            words.push(word(&mut bytes)?);
        }
    }
    Some(words)
}

/// The value of the first argument with this key.
pub(super) fn value<'a>(words: &'a [Word], key: &str) -> Option<&'a Word> {
    words.iter().find(|word| word.key == key)
}

fn word(bytes: &mut Peekable<Bytes<'_>>) -> Option<Word> {
    let mut word = Word { key: String::new(), value: Vec::new() };
    while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
        if byte == b'=' && word.key.is_empty() {
            word.key = word.text();
            word.value.clear();
        } else if byte == b'"' && word.value.is_empty() {
            word.value = quoted(bytes)?;
        } else {
            word.value.push(byte);
        }
    }
    Some(word)
}

/// The rest of a quoted string, with C's escapes, as tor writes it (tor: `esc_for_log`).
fn quoted(bytes: &mut Peekable<Bytes<'_>>) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    loop {
        value.push(match bytes.next()? {
            b'"' => return Some(value),
            b'\\' => escaped(bytes)?,
            byte => byte,
        });
    }
}

fn escaped(bytes: &mut Peekable<Bytes<'_>>) -> Option<u8> {
    Some(match bytes.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        digit @ b'0'..=b'7' => {
            let mut value = u32::from(digit & 7);
            for _ in 0..2 {
                if let Some(digit) = bytes.next_if(|byte| matches!(byte, b'0'..=b'7')) {
                    value = value * 8 + u32::from(digit & 7);
                }
            }
            u8::try_from(value).ok()?
        }
        byte => byte,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Option<Vec<(String, Vec<u8>)>> {
        Some(words(line)?.into_iter().map(|word| (word.key, word.value)).collect())
    }

    #[test]
    fn reads_values_keys_and_quotes() {
        let expected =
            [("", "BOOTSTRAP"), ("PROGRESS", "5"), ("SUMMARY", "To a relay"), ("NONE", ""), ("A", "b=c")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        let line = r#"BOOTSTRAP PROGRESS=5  SUMMARY="To a relay" NONE="" A=b=c"#;
        assert_eq!(pairs(line), Some(expected.to_vec()));
        assert_eq!(pairs(""), Some(Vec::new()));
    }

    #[test]
    fn undoes_escapes() {
        let value = |line| words(line).map(|words| words[0].value.clone());
        assert_eq!(value(r#"A="\"\\\n\r\t\'\303\2511\0""#).unwrap(), b"\"\\\n\r\t'\xC3\xA91\0");
        for broken in [r#"A=""#, r#"A="x"#, r#"A="\"#, r#"A="\""#, r#"A="\777""#] {
            assert_eq!(value(broken), None, "{broken}");
        }
    }
}
