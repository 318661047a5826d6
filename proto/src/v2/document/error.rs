//! The faults of a version-2 descriptor.

use super::{MAX_LENGTH, MAX_POINTS};
use crate::netdoc::NetdocError;
use crate::v2::OnionAddress;
use crate::v2::keys::KeyError;
use crate::v2::layer::LayerError;

/// Why a text is not the descriptor it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than HSDirs take.
    #[error("descriptor has {0} bytes, HSDirs keep {MAX_LENGTH} at most")]
    Length(usize),
    /// The text is not in the common form, or an item is not what it should be.
    #[error(transparent)]
    Netdoc(#[from] NetdocError),
    /// Something stands in front of the first line.
    #[error("descriptor does not begin with `rendezvous-service-descriptor`")]
    Beginning,
    /// Not `version 2`.
    #[error("descriptor is not of version 2")]
    Version,
    /// Something stands behind the signature.
    #[error("descriptor goes on after its signature")]
    AfterSignature,
    /// An unusable key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature over the whole is wrong.
    #[error("descriptor's signature is wrong")]
    Signature,
    /// The descriptor-id does not follow from the key and the secret-id-part.
    #[error("descriptor's id is not that of its key and secret-id-part")]
    Id,
    /// Signed by another service's key.
    #[error("descriptor is of {0}, another service")]
    OtherService(OnionAddress),
    /// Of neither replica of any period that was expected.
    #[error("descriptor is of another period, or its id takes another cookie")]
    Period,
    /// The introduction points stay closed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The introduction points are not text.
    #[error("the introduction points are not UTF-8 text")]
    Encoding,
    /// No introduction point at all.
    #[error("descriptor has no introduction points")]
    NoPoints,
    /// More introduction points than clients take.
    #[error("descriptor has more than {MAX_POINTS} introduction points")]
    TooManyPoints,
}
