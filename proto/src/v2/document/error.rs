//! The errors of a version-2 descriptor.

use super::{MAX_LENGTH, MAX_POINTS};
use crate::netdoc::NetdocError;
use crate::v2::OnionAddress;
use crate::v2::keys::KeyError;
use crate::v2::layer::LayerError;

/// The text is not the descriptor that was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// The text is longer than HSDirs accept; its length in bytes.
    #[error("descriptor has {0} bytes, HSDirs keep {MAX_LENGTH} at most")]
    Length(usize),
    /// The text does not have the common form of Tor's documents, or an item is malformed.
    #[error(transparent)]
    Netdoc(#[from] NetdocError),
    /// The text does not begin with the first line of a descriptor.
    #[error("descriptor does not begin with `rendezvous-service-descriptor`")]
    Beginning,
    /// The version is not 2.
    #[error("descriptor does not have version 2")]
    Version,
    /// The text continues after the signature.
    #[error("descriptor has text after its signature")]
    AfterSignature,
    /// The permanent key, or a key of a point, is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature of the descriptor is wrong.
    #[error("descriptor's signature is wrong")]
    Signature,
    /// The descriptor id does not follow from the key and the secret-id-part.
    #[error("descriptor's id is not that of its key and secret-id-part")]
    Id,
    /// The descriptor is signed by the key of another service, which has this address.
    #[error("descriptor belongs to another service, {0}")]
    OtherService(OnionAddress),
    /// The descriptor is neither replica of any expected period.
    #[error("descriptor belongs to another period, or its id was computed with another cookie")]
    Period,
    /// The introduction points do not decrypt.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The introduction points are not UTF-8 text.
    #[error("the introduction points are not UTF-8 text")]
    Encoding,
    /// The descriptor has no introduction points: the item is missing, or its text has no point.
    #[error("descriptor has no introduction points")]
    NoPoints,
    /// The descriptor has more introduction points than clients accept.
    #[error("descriptor has more than {MAX_POINTS} introduction points")]
    TooManyPoints,
}
