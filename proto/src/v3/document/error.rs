//! The faults of a version-3 descriptor.

use super::MAX_LENGTH;
use crate::netdoc::NetdocError;
use crate::v3::cert::CertError;
use crate::v3::keys::KeyError;
use crate::v3::layer::LayerError;
use crate::v3::link::LinkError;

/// Why a text is not the descriptor it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than HSDirs take.
    #[error("descriptor has {0} bytes, HSDirs keep less than {MAX_LENGTH}")]
    Length(usize),
    /// One of the three texts is not in the common form.
    #[error(transparent)]
    Netdoc(#[from] NetdocError),
    /// Not `hs-descriptor 3`.
    #[error("descriptor is not of version 3")]
    Version,
    /// Wants to be kept for longer than HSDirs do.
    #[error("descriptor's lifetime is beyond 720 minutes")]
    Lifetime,
    /// Something stands behind the signature.
    #[error("descriptor goes on after its signature")]
    AfterSignature,
    /// The signature over the whole is wrong.
    #[error("descriptor's signature is wrong")]
    Signature,
    /// A certificate proves nothing.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// A layer does not decrypt.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A decrypted layer is not text.
    #[error("a decrypted layer is not UTF-8 text")]
    Encoding,
    /// An unusable key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Malformed link specifiers.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No introduction point at all.
    #[error("descriptor has no introduction points")]
    NoPoints,
    /// More introduction points than clients take.
    #[error("descriptor has more than {most} introduction points")]
    TooManyPoints {
        /// How many may be there.
        most: usize,
    },
}
