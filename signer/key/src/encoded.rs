//! Tor's `hs_ed25519_secret_key` as text: the output of `base64 hs_ed25519_secret_key`, or YAML with a value
//! of that name, as `mkp224o -y` and others print it.

use base64ct::{Base64, Encoding};
use onionbalance_key_file::TOR_TAG_BASE64;
use zeroize::Zeroizing;

/// The length of the 96 bytes of the file in base64, in characters.
const LENGTH: usize = 128;

/// A key that was found in a text.
pub(crate) struct Encoded {
    /// The contents of tor's file.
    pub(crate) file: Zeroizing<Vec<u8>>,
    /// The address beside the key in YAML; `None`: there is none.
    pub(crate) hostname: Option<String>,
}

/// A text does not hold exactly one key. The message follows the name of its file.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum EncodedError {
    /// The text holds more than one key.
    #[error("holds the keys of several services: give a file with one of them")]
    Several,
    /// The text after the tag is too short, or is not base64.
    #[error("holds tor's key in base64 that is cut or damaged: give the whole file")]
    Damaged,
}

impl Encoded {
    /// The key in a file. `None`: it holds no key of tor's in base64. Fails if it holds more than one, or a
    /// damaged one.
    pub(crate) fn find(file: &[u8]) -> Result<Option<Self>, EncodedError> {
        // All visible characters in one buffer, because lines may have any length. It has room for the whole
        // from the start: a buffer that grew would leave copies behind.
        let mut letters = Zeroizing::new(Vec::with_capacity(file.len()));
        letters.extend(file.iter().filter(|byte| **byte > b' '));
        let tag = TOR_TAG_BASE64.as_bytes();
        let mut starts = letters.windows(tag.len()).enumerate().filter(|(_, part)| *part == tag);
        let start = match (starts.next(), starts.next()) {
            (None, _) => return Ok(None),
            (Some((start, _)), None) => start,
            (Some(_), Some(_)) => return Err(EncodedError::Several),
        };
        let encoded = letters.get(start..start + LENGTH).ok_or(EncodedError::Damaged)?;
        let mut bytes = Zeroizing::new(encoded.to_vec());
        // In constant time.
        let length = Base64::decode_in_place(&mut bytes).map_err(|_| EncodedError::Damaged)?.len();
        bytes.truncate(length);
        Ok(Some(Self { file: bytes, hostname: hostname(file) }))
    }
}

fn hostname(file: &[u8]) -> Option<String> {
    let mut lines = std::str::from_utf8(file).ok()?.lines();
    let value = lines.find_map(|line| line.trim_start().strip_prefix("hostname:"))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    const KEY: &[u8] = include_bytes!("../../../proto/testdata/v3/front.hs_ed25519_secret_key");

    #[test]
    fn base64_is_found_alone_and_in_yaml_however_it_is_written() {
        let base64 = BASE64.encode(KEY);
        let wrapped = |width| {
            let lines: Vec<_> =
                base64.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line)).collect();
            lines.join("\n  ")
        };
        let public = BASE64.encode(b"== ed25519v1-public: type0 ==\0\0\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        let yaml = |value: &str| {
            format!(
                "---\nhostname: front.onion\nhs_ed25519_public_key: {public}\nhs_ed25519_secret_key: {value}\n\
                 time: 2023-10-24 08:09:29 Z\n"
            )
        };
        for (text, hostname) in [
            (base64.clone(), None),
            (format!("{base64}\r\n"), None),
            (wrapped(76), None),
            (wrapped(20), None),
            (yaml(&base64), Some("front.onion")),
            (yaml(&format!("!!binary {base64}")), Some("front.onion")),
            (yaml(&format!("\"{base64}\"")), Some("front.onion")),
            (yaml(&format!("!!binary |\n  {}", wrapped(76))), Some("front.onion")),
            (format!("data:\n  hs_ed25519_secret_key: {base64}\n  hostname: 'a'\n"), Some("a")),
        ] {
            let found = Encoded::find(text.as_bytes()).unwrap().unwrap();
            assert_eq!(found.file.as_slice(), KEY, "{text}");
            assert_eq!(found.hostname.as_deref(), hostname, "{text}");
        }
        let error = |text: &str| Encoded::find(text.as_bytes()).err();
        assert_eq!(error(&yaml(&base64).repeat(2)), Some(EncodedError::Several));
        let (cut, _) = base64.split_at(100);
        assert_eq!(error(cut), Some(EncodedError::Damaged));
        assert_eq!(error(&yaml(cut)), Some(EncodedError::Damaged));
        assert!(Encoded::find(KEY).unwrap().is_none());
        assert!(Encoded::find(public.as_bytes()).unwrap().is_none());
    }
}
