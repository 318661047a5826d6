//! PEM (RFC 7468). The reader is as lenient as openssl: it allows text and other blocks around the key, blank
//! lines, spaces and line ends of any kind. The writer is strict.
//!
//! Base64 is decoded and encoded in constant time, because the contents are secret.
//!
//! ```
//! use onionbalance_key_file::pem::{self, Pem};
//!
//! let file = b"# the key\r\n-----BEGIN PRIVATE KEY-----\r\n AAEC \r\n\r\n-----END PRIVATE KEY-----";
//! let block = Pem::find(file).ok_or("no block")?;
//! assert_eq!(block.label, "PRIVATE KEY");
//! assert_eq!(*block.decode()?, [0, 1, 2]);
//!
//! let strict = pem::encode(block.label, &[0, 1, 2]);
//! assert_eq!(*strict, b"-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::{KeyFileError, SEALED_LABEL};

/// A block of a PEM file that is still encoded.
pub struct Pem<'a> {
    /// The words after `BEGIN`, such as `PRIVATE KEY`.
    pub label: &'a str,
    /// The lines that follow.
    lines: Lines<'a>,
}

impl<'a> Pem<'a> {
    /// The first block with a secret key, else the first block. `None`: the file has no block. A secret key's
    /// label is [`SEALED_LABEL`], or ends with `PRIVATE KEY`.
    pub fn find(file: &'a [u8]) -> Option<Self> {
        let mut lines = Lines(file);
        let mut first = None;
        while let Some(line) = lines.next() {
            let Some(label) = boundary(line, "-----BEGIN ") else { continue };
            let block = Self { label, lines: lines.clone() };
            if label.ends_with("PRIVATE KEY") || label == SEALED_LABEL {
                return Some(block);
            }
            first.get_or_insert(block);
        }
        first
    }

    /// True if a header marks the contents as encrypted, as openssl wrote it before PKCS#8.
    pub fn is_encrypted(&self) -> bool {
        self.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED"))
    }

    /// The value of the header with this name (RFC 1421); `None` if it is missing.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let block = self.lines.clone().take_while(|line| !line.starts_with(b"-----"));
        let mut headers = block.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        headers.find_map(|(found, value)| (found == name).then_some(value.trim_start()))
    }

    /// The contents, without headers (RFC 1421).
    ///
    /// # Errors
    /// [`KeyFileError::Damaged`]: the `END` line is missing or has another label, or the lines are not
    /// base64.
    pub fn decode(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        // Room for the whole from the start: a buffer that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.lines.0.len()));
        let mut lines = self.lines.clone();
        let end = loop {
            match lines.next().ok_or(KeyFileError::Damaged)? {
                line if line.starts_with(b"-----") => break line,
                header if header.contains(&b':') => {}
                line => bytes.extend(line.iter().filter(|byte| **byte > b' ')),
            }
        };
        if boundary(end, "-----END ") != Some(self.label) {
            return Err(KeyFileError::Damaged);
        }
        // In constant time.
        let length = Base64::decode_in_place(&mut bytes).map_err(|_| KeyFileError::Damaged)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// The PEM file with these contents: lines of 64 characters, and a line end after each line.
pub fn encode(label: &str, contents: &[u8]) -> Zeroizing<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----\n"), format!("-----END {label}-----\n"));
    let lines = contents.len().div_ceil(LINE) * (LINE / 3 * 4 + 1);
    let mut file = Zeroizing::new(Vec::with_capacity(begin.len() + lines + end.len()));
    file.extend(begin.bytes());
    for line in contents.chunks(LINE) {
        // In constant time.
        file.extend(Zeroizing::new(Base64::encode_string(line)).bytes());
        file.push(b'\n');
    }
    file.extend(end.bytes());
    file
}

/// The number of bytes that a full line of 64 characters encodes.
const LINE: usize = 48;

/// The label in a line that begins with `start`.
fn boundary<'a>(line: &'a [u8], start: &str) -> Option<&'a str> {
    std::str::from_utf8(line).ok()?.strip_prefix(start)?.strip_suffix("-----")
}

/// The lines of a file, from their first visible character to the last: without spaces, carriage returns, and
/// the NUL with which tor 0.4.5 ends its `private_key`.
#[derive(Clone)]
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\n').map_or(self.0.len(), |end| end + 1);
        let (line, rest) = self.0.split_at(end);
        self.0 = rest;
        let start = line.iter().position(|byte| *byte > b' ').unwrap_or(end);
        let end = line.iter().rposition(|byte| *byte > b' ').map_or(start, |last| last + 1);
        line.get(start..end)
    }
}
