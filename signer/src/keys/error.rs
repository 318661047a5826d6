//! Why a key file is refused.

use onionbalance_proto::v2::keys::{BITS, KeyError};
use onionbalance_proto::v3::address::AddressError;

use super::ReadError;
use super::passphrase::PassphraseError;
use crate::v3::delegation::DelegationError;

/// Why a key file holds no usable key. The message follows the name of the file, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// None of the formats.
    #[error(
        "is not a key file: give tor's hs_ed25519_secret_key or private_key, or another PEM file with such a key"
    )]
    Format,
    /// DER, which PEM has inside.
    #[error("is DER: convert it with `openssl pkey -inform DER -in FILE -out KEY`")]
    Der,
    /// Tor's key as text, alone or in YAML.
    #[error("is tor's key in base64: convert it with `onionbalance-key import FILE -o KEY`")]
    Base64,
    /// Tor's format, but not a whole secret key.
    #[error("has tor's header but {0} bytes where tor writes 96: it is cut or damaged")]
    TorLength(usize),
    /// Tor's public key.
    #[error("is tor's public key: give hs_ed25519_secret_key, which is beside it")]
    TorPublic,
    /// A public key in PEM.
    #[error("holds a PEM `{0}`, a public key: give the private one")]
    Public(String),
    /// PEM with something else in it.
    #[error(
        "holds a PEM `{0}`: a `PRIVATE KEY` (PKCS#8) or an `RSA PRIVATE KEY` is needed, plain or encrypted"
    )]
    PemLabel(String),
    /// Neither ed25519 nor RSA.
    #[error(
        "holds a private key that is neither ed25519, as those of v3 services, nor RSA, as those of v2 services"
    )]
    Algorithm,
    /// Cut, or altered.
    #[error("holds a key that is cut or damaged: give the whole file")]
    Damaged,
    /// Encrypted, and the header that says how is not to be understood.
    #[error(
        "is encrypted, and its DEK-Info header is missing or malformed: give the whole file as openssl wrote it"
    )]
    Header,
    /// It is encrypted, and does not open.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Sealed by a later version.
    #[error(
        "was sealed by another version of onionbalance-key: use the signer of that version, or a newer one"
    )]
    SealedVersion,
    /// An RSA key of another size.
    #[error("{}", wrong_size(.0))]
    Rsa(#[from] KeyError),
    /// An ed25519 secret whose public half is no onion address.
    #[error("holds a key that makes no onion address: {0}")]
    Address(#[from] AddressError),
    /// A delegation that is none, or for which there is no place.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// The key of a service of another version than its backends'.
    #[error("holds the key of a v{0} service, but the instances are v{1}: name the key of a v{1} service")]
    Version(u8, u8),
}

fn wrong_size(error: &KeyError) -> String {
    match error {
        KeyError::Size(bits) => format!("holds an RSA key of {bits} bits: v2 services have {BITS}"),
        other => format!("holds {other}"),
    }
}
