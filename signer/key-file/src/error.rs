//! Why a file is not taken for a key file.

/// Why a file holds no usable key. The message follows the name of the file, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
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
    /// Encrypted in a way that is not known here.
    #[error(
        "is encrypted with {0}, which is not supported: encrypt it again with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"
    )]
    Cipher(String),
    /// Sealed by a later version.
    #[error(
        "was sealed by another version of onionbalance-key: use the signer of that version, or a newer one"
    )]
    SealedVersion,
}
