//! The errors of a version-3 descriptor.

use super::MAX_LENGTH;
use crate::netdoc::NetdocError;
use crate::v3::cert::CertError;
use crate::v3::keys::KeyError;
use crate::v3::layer::LayerError;
use crate::v3::link::LinkError;

/// The text is not the descriptor that was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// The text is longer than HSDirs accept; its length in bytes.
    #[error("descriptor has {0} bytes, HSDirs keep less than {MAX_LENGTH}")]
    Length(usize),
    /// One of the three documents does not have the common form of Tor's documents, or an item is malformed.
    #[error(transparent)]
    Netdoc(#[from] NetdocError),
    /// The version is not 3.
    #[error("descriptor does not have version 3")]
    Version,
    /// The lifetime is longer than HSDirs accept.
    #[error("descriptor's lifetime is longer than 720 minutes")]
    Lifetime,
    /// The text continues after the signature.
    #[error("descriptor has text after its signature")]
    AfterSignature,
    /// The signature of the descriptor is wrong.
    #[error("descriptor's signature is wrong")]
    Signature,
    /// A certificate is not valid: that of the descriptor-signing key, or of a point.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// A layer does not decrypt. The inner one of a service with restricted discovery never does.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A decrypted layer is not UTF-8 text.
    #[error("a decrypted layer is not UTF-8 text")]
    Encoding,
    /// The descriptor-signing key, or a key of a point, is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The link specifiers of a point are malformed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The descriptor has no introduction points.
    #[error("descriptor has no introduction points")]
    NoPoints,
    /// The descriptor has more introduction points than the reader allows.
    #[error("descriptor has more than {most} introduction points")]
    TooManyPoints {
        /// The most introduction points allowed.
        most: usize,
    },
}
