//! Tor's own `hs_ed25519_secret_key`: a tag of 32 bytes, then the expanded secret key of 64 (tor: `crypto_write_tagged_contents_to_file`).

use super::KeyFileError;

/// What stands before the key.
pub const SECRET_TAG: &[u8; 32] = b"== ed25519v1-secret: type0 ==\0\0\0";
const PUBLIC_TAG: &[u8; 32] = b"== ed25519v1-public: type0 ==\0\0\0";

/// The key, or `None` if the file is not in tor's format at all.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<&[u8; 64]>, KeyFileError> {
    if bytes.starts_with(PUBLIC_TAG) {
        return Err(KeyFileError::Public);
    }
    let Some(key) = bytes.strip_prefix(SECRET_TAG) else { return Ok(None) };
    key.try_into().map(Some).map_err(|_| KeyFileError::TorLength(bytes.len()))
}
