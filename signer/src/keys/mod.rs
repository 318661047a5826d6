//! Reads key files.

pub mod passphrase;
pub mod pkcs8;
pub mod terminal;
pub mod v2;
pub mod v3;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Larger than any key file; more is not read.
const MAX_LENGTH: usize = 16 * 1024;

/// Why a file with a secret in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot be read: {0}; check the path and that the signer's user may read it")]
    Io(#[from] io::Error),
    /// Too long for a key or a passphrase.
    #[error("is too long: no file with a key or a passphrase has more than {MAX_LENGTH} bytes")]
    TooLong,
}

/// All of the file at `path`, which is wiped when it is dropped.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Room for the whole from the start: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 1));
    File::open(path)?.take(MAX_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_LENGTH { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// What stands behind `BEGIN` in the first line of a PEM file.
fn pem_label(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("-----BEGIN ")?.split_once("-----").map(|(label, _)| label)
}
