//! Where the passphrases of encrypted keys come from: a file, a file descriptor, or the terminal.

use std::io;
use std::path::{Path, PathBuf};

use onionbalance_key_file::KeyFileError;
use zeroize::Zeroizing;

use super::read::read;
use super::terminal::Terminal;
use super::{LoadError, ReadError};

/// How often a passphrase may be typed.
const TRIES: usize = 3;

/// Why an encrypted key stays closed. The message follows the name of the key file.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nobody to ask.
    #[error(
        "is encrypted, and there is no terminal to ask for its passphrase ({0}): start the program on a \
         terminal, or with --passphrase-file or --passphrase-fd"
    )]
    NoTerminal(io::Error),
    /// The question was not answered.
    #[error("is encrypted, and no passphrase was typed: {0}")]
    NotTyped(io::Error),
    /// None of those that were typed fits.
    #[error("does not open with any of the {TRIES} passphrases that were typed")]
    Mistyped,
    /// None of those in the file fits.
    #[error("does not open with any passphrase in {0}: write each on a line of its own")]
    NotInFile(PathBuf),
}

/// Where to find passphrases.
pub enum Passphrases {
    /// A person types them at the terminal.
    Terminal,
    /// They were read from a file.
    File {
        /// The file.
        path: PathBuf,
        /// One passphrase a line: each is tried with each key.
        text: Zeroizing<Vec<u8>>,
    },
}

/// Where the command line says that passphrases are.
#[derive(Clone)]
pub enum Source {
    /// A person at the terminal knows them.
    Terminal,
    /// In a file.
    File(PathBuf),
}

impl Source {
    /// In a file descriptor that was inherited. The kernel lets even an undumpable process open it by this name.
    pub fn descriptor(number: u32) -> Self {
        Self::File(PathBuf::from(format!("/dev/fd/{number}")))
    }

    /// Reads them, or says what is wrong with their place.
    pub fn read(&self) -> Result<Passphrases, String> {
        match self {
            Self::Terminal => Ok(Passphrases::Terminal),
            Self::File(path) => Passphrases::read(path)
                .map_err(|error| format!("the passphrase file {} {error}", path.display())),
        }
    }
}

impl Passphrases {
    /// Reads the passphrases in the file at `path`, which may be a pipe.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::File { path: path.to_owned(), text: read(path)? })
    }

    /// Those in the file.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let text = match self {
            Self::Terminal => &[][..],
            Self::File { text, .. } => text.as_slice(),
        };
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty())
    }

    /// The result of `attempt` on the key in `file` with the right passphrase. `attempt` returns `None` for a wrong one.
    pub(super) fn open<T>(
        &self,
        file: &Path,
        mut attempt: impl FnMut(&[u8]) -> Result<Option<T>, KeyFileError>,
    ) -> Result<T, LoadError> {
        let path = match self {
            Self::Terminal => return ask(file, attempt),
            Self::File { path, .. } => path,
        };
        for passphrase in self.lines() {
            if let Some(opened) = attempt(passphrase)? {
                return Ok(opened);
            }
        }
        Err(PassphraseError::NotInFile(path.clone()).into())
    }
}

fn ask<T>(
    file: &Path,
    mut attempt: impl FnMut(&[u8]) -> Result<Option<T>, KeyFileError>,
) -> Result<T, LoadError> {
    let mut terminal = Terminal::open().map_err(PassphraseError::NoTerminal)?;
    let prompt = format!("Passphrase of the key {}: ", file.display());
    for _ in 0..TRIES {
        let passphrase = terminal.ask(&prompt).map_err(PassphraseError::NotTyped)?;
        if let Some(opened) = attempt(&passphrase)? {
            return Ok(opened);
        }
    }
    Err(PassphraseError::Mistyped.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str, right: &str) -> (Result<(), LoadError>, Vec<String>) {
        let passphrases = Passphrases::File { path: "pass".into(), text: Zeroizing::new(text.into()) };
        let mut tried = Vec::new();
        let opened = passphrases.open(Path::new("key"), |passphrase| {
            tried.push(String::from_utf8(passphrase.to_vec()).unwrap());
            Ok((passphrase == right.as_bytes()).then_some(()))
        });
        (opened, tried)
    }

    #[test]
    fn each_line_is_tried_until_one_fits() {
        let (opened, tried) = open("one\r\n\ntwo words \nthree\n", "two words ");
        assert!(opened.is_ok());
        assert_eq!(tried, ["one", "two words "]);
        assert!(open("alone", "alone").0.is_ok());
    }

    #[test]
    fn none_fits() {
        for text in ["", "\n\n", "one\ntwo"] {
            let (opened, tried) = open(text, "three");
            assert!(matches!(opened, Err(LoadError::Passphrase(PassphraseError::NotInFile(_)))), "{tried:?}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_an_error() {
        assert!(matches!(Passphrases::read(Path::new("/nonexistent")), Err(ReadError::Io(_))));
        assert!(matches!(Passphrases::read(Path::new("/dev/zero")), Err(ReadError::TooLong)));
        assert!(Source::descriptor(1_000_000).read().is_err());
    }
}
