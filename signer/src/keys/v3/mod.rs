//! The key files of version 3 services: tor's own, PKCS#8, and sealed ones.

pub mod pem;
pub mod tor;

use std::path::Path;

use onionbalance_proto::v3::address::AddressError;

use super::ReadError;
use super::passphrase::Passphrases;
use super::pkcs8::Pkcs8Error;
use super::sealed::SealedError;
use crate::trust::Trust;
use crate::v3::authority::Authority;
use crate::v3::delegation::Delegation;
use crate::v3::delegation::DelegationError;
use crate::v3::secret::IdentitySecret;

/// What is in a key file, as long as it is open.
#[derive(Clone, Copy)]
pub enum Contents<'a> {
    /// The 32 bytes of PKCS#8, which RFC 8032 expands.
    Seed(&'a [u8; 32]),
    /// The 64 bytes of tor's file: the clamped scalar, then the prefix for nonces.
    Expanded(&'a [u8; 64]),
    /// A delegation, encoded.
    Delegation(&'a [u8]),
}

/// Why a key file holds no usable key. The message says what to do; whoever prints it names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// None of the formats.
    #[error("is no key file: give tor's hs_ed25519_secret_key or a PKCS#8 PEM file with an ed25519 key")]
    Format,
    /// Tor's format, but not a whole secret key.
    #[error("has tor's header but {0} bytes where tor writes 96: it is cut or damaged")]
    TorLength(usize),
    /// Tor's public key.
    #[error("is tor's public key: give hs_ed25519_secret_key, which stands beside it")]
    Public,
    /// A PEM file with something else in it.
    #[error("holds a PEM `{0}`: a `PRIVATE KEY` (PKCS#8), plain or encrypted, with an ed25519 key is needed")]
    PemLabel(String),
    /// PKCS#8, but not ed25519.
    #[error(
        "holds a private key that is not ed25519: give one that `openssl genpkey -algorithm ed25519` made"
    )]
    NotEd25519,
    /// PKCS#8 that does not open.
    #[error(transparent)]
    Pkcs8(#[from] Pkcs8Error),
    /// Sealed, and no whole container.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A delegation that is none, or for which there is no place.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A secret whose public half is no onion address.
    #[error("holds a key that makes no onion address: {0}")]
    Address(#[from] AddressError),
}

/// Reads the key in the file at `path`, with one of the passphrases if it is encrypted.
pub fn load(path: &Path, trust: &Trust, passphrases: &Passphrases) -> Result<Authority, KeyFileError> {
    parse(&super::read_key(path, trust)?, path, passphrases, authority)
}

/// The authority that somebody has who has this.
pub fn authority(contents: Contents<'_>) -> Result<Authority, KeyFileError> {
    Ok(match contents {
        Contents::Seed(seed) => IdentitySecret::from_seed(seed)?.into(),
        Contents::Expanded(key) => IdentitySecret::from_expanded(key)?.into(),
        Contents::Delegation(bytes) => Delegation::decode(bytes)?.into(),
    })
}

/// What `act` makes of the key in the file at `path`, which holds these bytes.
pub fn parse<T>(
    bytes: &[u8],
    path: &Path,
    passphrases: &Passphrases,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    if let Some(key) = tor::parse(bytes)? {
        return act(Contents::Expanded(key));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KeyFileError::Format)?;
    pem::parse(text, path, passphrases, act)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    const FRONT: &str = include_str!("../../../../proto/testdata/v3/front.hostname");
    const FRONT_PEM: &[u8] = include_bytes!("../../../../proto/testdata/v3/front.pem");
    const FRONT_AES: &[u8] = include_bytes!("../../../../proto/testdata/v3/front-aes256.pem");
    const FRONT_SCRYPT: &[u8] = include_bytes!("../../../../proto/testdata/v3/front-scrypt.pem");
    const FRONT_TOR: &[u8] = include_bytes!("../../../../proto/testdata/v3/front.hs_ed25519_secret_key");

    const FRONT_SEALED: &[u8] = include_bytes!("../../../../proto/testdata/v3/front-sealed.pem");
    const FRONT_DELEGATION: &[u8] = include_bytes!("../../../../proto/testdata/v3/front-delegation.pem");

    const PASSPHRASE: &str = "onion balance v3";

    fn parse_with(bytes: &[u8], passphrases: &str) -> Result<Authority, KeyFileError> {
        let text = Zeroizing::new(passphrases.as_bytes().to_vec());
        let passphrases = Passphrases::File { path: "pass".into(), text };
        parse(bytes, Path::new("key"), &passphrases, authority)
    }

    fn message(bytes: &[u8]) -> String {
        parse_with(bytes, PASSPHRASE).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn all_formats_of_one_key_make_the_same_address() {
        for bytes in [FRONT_PEM, FRONT_TOR, FRONT_AES, FRONT_SCRYPT, FRONT_SEALED, FRONT_DELEGATION] {
            let secret = parse_with(bytes, &format!("wrong\n{PASSPHRASE}\n"));
            assert_eq!(secret.ok().unwrap().address().to_string(), FRONT.trim());
        }
    }

    #[test]
    fn no_wrong_passphrase_opens_a_key() {
        let many: Vec<String> = (0..40).map(|number| format!("wrong {number}")).collect();
        for bytes in [FRONT_SCRYPT, FRONT_SEALED] {
            let error = parse_with(bytes, &many.join("\n")).err().unwrap().to_string();
            assert!(error.starts_with("does not open with any passphrase in pass"), "{error}");
        }
    }

    #[test]
    fn each_wrong_file_is_refused_by_name() {
        let public = b"== ed25519v1-public: type0 ==\0\0\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let text = std::str::from_utf8(FRONT_PEM).unwrap();
        assert!(message(public).contains("public key"));
        assert!(message(&FRONT_TOR[..95]).contains("95 bytes"));
        assert!(message(rsa.as_bytes()).contains("PEM `RSA PRIVATE KEY`"));
        assert!(message(text.replace("MC4C", "MC5C").as_bytes()).contains("a key that is cut or damaged"));
        assert!(message(text.get(..60).unwrap().as_bytes()).contains("damaged"));
        let rsa = include_bytes!("../../../../proto/testdata/v2/pem-pkcs8.key");
        assert!(message(rsa).contains("not ed25519"));
        assert!(message(b"").contains("is no key file"));
        assert!(message(&[0xFF; 96]).contains("is no key file"));
    }

    #[test]
    fn a_missing_or_endless_file_is_refused() {
        let load = |path: &str| load(Path::new(path), &Trust::in_this_process(), &Passphrases::Terminal);
        assert!(matches!(load("/nonexistent"), Err(KeyFileError::Read(ReadError::Io(_)))));
        assert!(matches!(load("/dev/zero"), Err(KeyFileError::Read(ReadError::Kind(_)))));
    }
}
