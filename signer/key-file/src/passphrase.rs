//! The sources of passphrases for encrypted keys: a file, a file descriptor, or the terminal.
//!
//! A file has one passphrase a line. A line is taken as it is, with the blanks in it, and without its end
//! (`\n` or `\r\n`); empty lines are none. Each passphrase is tried with each key, in order.
//!
//! ```
//! use std::path::Path;
//!
//! use onionbalance_key_file::Key;
//! use onionbalance_key_file::passphrase::{OpenError, Passphrases};
//!
//! let lines = |text: &str| Passphrases::File { path: "pass".into(), text: text.as_bytes().to_vec().into() };
//! let key = std::fs::read("../../proto/testdata/v2/pem-aes256.key")?;
//! let open = |text| lines(text).open(&key, Path::new("front.key"));
//! assert!(matches!(open("another\nonion balance v2\n")?, Key::Rsa(_)));
//! assert!(matches!(open("another\n"), Err(OpenError::NotInFile(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::read::{ReadError, read};
use crate::terminal::Terminal;
use crate::{Encrypted, Key, KeyFile, KeyFileError};

/// The number of times that a passphrase may be typed.
const TRIES: usize = 3;

/// A key file does not open. The message follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a key file, or is damaged.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// There is no terminal to ask at.
    #[error(
        "is encrypted, and there is no terminal to ask for its passphrase ({0}): give --passphrase-file, or \
         under systemd the credential `passphrase` (LoadCredentialEncrypted=)"
    )]
    NoTerminal(io::Error),
    /// No passphrase was typed.
    #[error("is encrypted, and no passphrase was typed: {0}")]
    NotTyped(io::Error),
    /// None of the three typed passphrases fits.
    #[error("does not open with any of the {TRIES} passphrases that were typed")]
    Mistyped,
    /// None of the passphrases in this file fits; the file of passphrases.
    #[error("does not open with any passphrase in {0}: write each on a line of its own")]
    NotInFile(PathBuf),
}

/// The source of passphrases that the command line names.
#[derive(Clone)]
pub enum Source {
    /// A person at the terminal.
    Terminal,
    /// A file, one passphrase a line.
    File(PathBuf),
}

impl Source {
    /// An inherited file descriptor, by its number. The kernel lets even an undumpable process open it by
    /// this name.
    pub fn descriptor(number: u32) -> Self {
        Self::File(PathBuf::from(format!("/dev/fd/{number}")))
    }

    /// Reads the passphrases of a file. Nobody is asked at the terminal yet: [`Passphrases::open`] does so,
    /// for each encrypted key.
    ///
    /// # Errors
    /// The file cannot be read, or is too long; the message names it.
    pub fn read(&self) -> Result<Passphrases, String> {
        match self {
            Self::Terminal => Ok(Passphrases::Terminal),
            Self::File(path) => Passphrases::read(path)
                .map_err(|error| format!("the passphrase file {} {error}", path.display())),
        }
    }
}

/// Passphrases for encrypted keys.
pub enum Passphrases {
    /// A person types them at the terminal.
    Terminal,
    /// The passphrases of a file.
    File {
        /// The path of the file, for messages.
        path: PathBuf,
        /// One passphrase a line. Each is tried with each key.
        text: Zeroizing<Vec<u8>>,
    },
}

impl Passphrases {
    /// Reads the passphrases in the file at `path`, which may be a pipe. Its owner and mode are not judged.
    ///
    /// # Errors
    /// [`ReadError::Io`]: the file cannot be read. [`ReadError::TooLong`]: it is longer than
    /// [`MAX_LENGTH`](crate::MAX_LENGTH).
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::File { path: path.to_owned(), text: read(path)? })
    }

    /// The passphrases of the file; none for [`Passphrases::Terminal`].
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let text = match self {
            Self::Terminal => &[][..],
            Self::File { text, .. } => text.as_slice(),
        };
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty())
    }

    /// The key in `file`, the contents of the file at `path`. A plain key needs no passphrase. A person at
    /// the terminal is shown `path`, and has three tries.
    ///
    /// # Errors
    /// [`OpenError::File`]: `file` does not hold a usable key. The others: no passphrase opens it, or there
    /// is nobody to ask.
    pub fn open(&self, file: &[u8], path: &Path) -> Result<Key, OpenError> {
        let encrypted = match KeyFile::parse(file)? {
            KeyFile::Plain(key) => return Ok(key),
            KeyFile::Encrypted(encrypted) => encrypted,
        };
        let Self::File { path, .. } = self else { return ask(&encrypted, path) };
        for passphrase in self.lines() {
            if let Some(key) = encrypted.open(passphrase)? {
                return Ok(key);
            }
        }
        Err(OpenError::NotInFile(path.clone()))
    }
}

fn ask(encrypted: &Encrypted, path: &Path) -> Result<Key, OpenError> {
    let mut terminal = Terminal::open().map_err(OpenError::NoTerminal)?;
    let prompt = format!("Passphrase of the key {}: ", path.display());
    for _ in 0..TRIES {
        let passphrase = terminal.ask(&prompt).map_err(OpenError::NotTyped)?;
        if let Some(key) = encrypted.open(&passphrase)? {
            return Ok(key);
        }
    }
    Err(OpenError::Mistyped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = include_bytes!("../../../proto/testdata/v2/pem-aes256.key");

    fn file(text: &str) -> Passphrases {
        Passphrases::File { path: "pass".into(), text: Zeroizing::new(text.into()) }
    }

    #[test]
    fn each_line_is_a_passphrase_as_it_is_written() {
        let lines = |text| file(text).lines().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(lines("one\r\n\ntwo words \nthree"), [&b"one"[..], b"two words ", b"three"]);
        assert!(lines("").is_empty() && lines("\n\n").is_empty());
    }

    #[test]
    fn each_is_tried_until_one_fits() {
        let open = |text| file(text).open(KEY, Path::new("key"));
        for text in ["onion balance v2", "one\r\n\nonion balance v2\nthree\n", "one\nonion balance v2\r\n"] {
            assert!(matches!(open(text), Ok(Key::Rsa(_))), "{text}");
        }
        for text in ["", "\n\n", "one\ntwo", "onion balance v2 \n"] {
            assert!(matches!(open(text), Err(OpenError::NotInFile(_))), "{text}");
        }
    }

    #[test]
    fn a_missing_or_endless_file_is_an_error() {
        assert!(matches!(Passphrases::read(Path::new("/nonexistent")), Err(ReadError::Io(_))));
        assert!(matches!(Passphrases::read(Path::new("/dev/zero")), Err(ReadError::TooLong)));
        assert!(Source::descriptor(1_000_000).read().is_err());
    }
}
