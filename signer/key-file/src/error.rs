//! The errors of key files.

/// A file does not hold a usable key. The message follows the name of the file, and has the remedy.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file has none of the known formats.
    #[error(
        "is not a key file: give tor's hs_ed25519_secret_key or private_key, or another PEM file with such a key"
    )]
    Format,
    /// The file is DER, which is the contents of PEM.
    #[error("is DER: convert it with `openssl pkey -inform DER -in FILE -out KEY`")]
    Der,
    /// The file is tor's key in base64, alone or in YAML.
    #[error("is tor's key in base64: convert it with `onionbalance-key import FILE -o KEY`")]
    Base64,
    /// The file has tor's format, but another length than a secret key; its length in bytes.
    #[error("has tor's header but {0} bytes, not 96: it is cut or damaged")]
    TorLength(usize),
    /// The file is tor's public key.
    #[error("is tor's public key: give hs_ed25519_secret_key, which is beside it")]
    TorPublic,
    /// The file is a public key in PEM, with this label.
    #[error("holds a PEM `{0}`, a public key: give the private one")]
    Public(String),
    /// The file is PEM with this label, which is not a key's.
    #[error(
        "holds a PEM `{0}`: a `PRIVATE KEY` (PKCS#8) or an `RSA PRIVATE KEY` is needed, plain or encrypted"
    )]
    PemLabel(String),
    /// The key is neither ed25519 nor RSA.
    #[error(
        "holds a private key that is neither ed25519, as those of v3 services, nor RSA, as those of v2 services"
    )]
    Algorithm,
    /// The file is cut or altered.
    #[error("holds a key that is cut or damaged: give the whole file")]
    Damaged,
    /// The key is encrypted, and the header with the cipher is missing or malformed.
    #[error(
        "is encrypted, and its DEK-Info header is missing or malformed: give the whole file as openssl wrote it"
    )]
    Header,
    /// The key is encrypted with this scheme, which is not supported.
    #[error(
        "is encrypted with {0}, which is not supported: encrypt it again with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"
    )]
    Cipher(String),
    /// The container was sealed by another version of `onionbalance-key`.
    #[error(
        "was sealed by another version of onionbalance-key: use the signer of that version, or a newer one"
    )]
    SealedVersion,
}
