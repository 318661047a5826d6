//! The descriptor: three documents one inside the other, two of them encrypted (rend-spec-v3 \[HS-DESC\]).
//!
//! [`Descriptor::seal`] renders a descriptor from the inside out. [`open`] reads one from the outside in, and
//! verifies everything that it returns.
//!
//! ```text
//! outer document, module `outer`              hs-descriptor 3 … superencrypted … signature
//! └─ superencrypted, Layer::Middle            read with the address
//!    middle document, module `middle`         desc-auth-type x25519 … auth-client … encrypted
//!    └─ encrypted, Layer::Inner               read with the address [and a client's key]
//!       inner document, module `inner`        create2-formats 2 … introduction-point …
//! ```
//!
//! The balancer opens the descriptors of backends with it. The signer seals those of the frontend, and opens
//! none.
//!
//! A descriptor of tor 0.4.9.11 is opened, and sealed again:
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::document::middle::ClientLines;
//! use onionbalance_proto::v3::document::{MAX_LENGTH, PeriodKeys, open, open_outer};
//! use onionbalance_proto::v3::{PeriodLength, TimePeriod};
//! use rand_core::OsRng;
//!
//! let address = "th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid.onion".parse()?;
//! let now = UnixTime(1_795_336_050);
//! let keys = PeriodKeys::derive(&address, TimePeriod::at(now, PeriodLength::try_from(8)?, 4));
//! let text = std::fs::read_to_string("testdata/v3/backend0.desc")?;
//!
//! let descriptor = open(&text, &keys, now)?;
//! assert_eq!(descriptor.revision, 23_268_292);
//! assert_eq!(descriptor.inner.points.len(), 3);
//!
//! // Without the descriptor-signing key this makes a text of the right size with a wrong signature.
//! let sealed = descriptor.seal(&keys, &ClientLines::made_up(&mut OsRng), [[1; 16], [2; 16]]);
//! let forged = sealed.finish(&ed25519_dalek::Signature::from_bytes(&[0; 64]));
//! assert_eq!(forged.trim_end().len(), text.trim_end().len());
//! assert!(forged.len() < MAX_LENGTH && open_outer(&forged, &keys, now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod inner;
pub mod middle;
pub mod outer;

use super::blinding::{BlindedKey, Subcredential};
use super::cert::Certificate;
use super::keys::DescriptorSigningKey;
use super::layer::{Layer, LayerContext};
use super::{OnionAddress, TimePeriod};
use crate::time::UnixTime;
pub use error::DocumentError;
use inner::Inner;
use middle::ClientLines;
use outer::{Outer, Unsigned};

const CERTIFICATE: &str = "ED25519 CERT";
const MESSAGE: &str = "MESSAGE";

/// The most introduction points of a descriptor. Clients refuse the whole of a descriptor with more (tor:
/// `HS_CONFIG_V3_MAX_INTRO_POINTS`).
pub const MAX_POINTS: usize = 20;
/// The length in bytes that a descriptor must be below, or HSDirs refuse it (the default of the consensus
/// parameter `HSV3MaxDescriptorSize`).
pub const MAX_LENGTH: usize = 50_000;

/// The public keys of one service's descriptors of one period, by which [`open`] knows the expected service.
#[derive(Clone, Copy)]
pub struct PeriodKeys {
    /// The blinded key, which certifies the descriptor-signing key.
    pub blinded: BlindedKey,
    /// The subcredential, from which the layers' keys are derived.
    pub subcredential: Subcredential,
}

impl PeriodKeys {
    /// The keys of the service at `address` in `period`.
    pub fn derive(address: &OnionAddress, period: TimePeriod) -> Self {
        let blinded = BlindedKey::derive(address, period);
        Self { blinded, subcredential: Subcredential::derive(address, &blinded) }
    }

    fn layers(&self, revision: u64) -> LayerContext {
        LayerContext { blinded: self.blinded, subcredential: self.subcredential, revision }
    }
}

/// A descriptor in the clear. The lines of its clients and its padding are not part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// Type 08: the blinded key certifies the descriptor-signing key.
    pub signing_cert: Certificate,
    /// The revision counter. An HSDir replaces a descriptor of the same blinded key by one with a greater
    /// counter only.
    pub revision: u64,
    /// The innermost layer, with 0 to [`MAX_POINTS`] points if [`open`] returned it.
    pub inner: Inner,
}

impl Descriptor {
    /// Renders and encrypts the layers, each with its own salt: `salts` are the inner and the middle layer's,
    /// 16 random bytes each. The caller signs the result.
    ///
    /// The numbers of points and of bytes are not checked. A text of [`MAX_LENGTH`] bytes or more can result.
    pub fn seal(&self, keys: &PeriodKeys, clients: &ClientLines, salts: [[u8; 16]; 2]) -> Unsigned {
        let context = keys.layers(self.revision);
        let [inner_salt, middle_salt] = salts;
        let encrypted = Layer::Inner.encrypt(&context, inner_salt, self.inner.encode().as_bytes());
        let middle = clients.encode(&encrypted);
        let superencrypted = Layer::Middle.encrypt(&context, middle_salt, middle.as_bytes());
        Unsigned::new(&self.signing_cert, self.revision, &superencrypted)
    }
}

/// Reads the descriptor of the service and period that `keys` belong to, and verifies at `now` the
/// certificate of the descriptor-signing key, the signature, both layers, and the certificates of each point.
/// The certified encryption key of a point must be the listed one. Tor's clients do not compare the two.
///
/// The revision counter is not compared with any other: an older descriptor of the same period opens.
///
/// # Errors
/// - [`DocumentError::Length`]: the text has [`MAX_LENGTH`] bytes or more.
/// - [`DocumentError::Cert`]: a certificate is malformed, has expired, or is not by the expected key. A
///   descriptor of another service or period is found by the first certificate:
///   [`CertError::OtherKey`](super::cert::CertError::OtherKey).
/// - [`DocumentError::Signature`]: the descriptor-signing key did not sign the text.
/// - [`DocumentError::Layer`]: a layer does not decrypt, as with restricted discovery.
/// - [`DocumentError::TooManyPoints`]: there are more than [`MAX_POINTS`] points.
/// - The others: the text of a layer, a key or a link specifier is malformed.
pub fn open(text: &str, keys: &PeriodKeys, now: UnixTime) -> Result<Descriptor, DocumentError> {
    let (outer, signing_key) = verified_outer(text, keys, now)?;
    let context = keys.layers(outer.revision);
    let middle = text_of(Layer::Middle.decrypt(&context, &outer.superencrypted)?)?;
    let inner = text_of(Layer::Inner.decrypt(&context, &middle::decode(&middle)?)?)?;
    let inner = Inner::decode(&inner, MAX_POINTS)?;
    for point in &inner.points {
        point.auth_cert.verify(point.auth_key.as_bytes(), signing_key.verifying_key(), now)?;
        point.enc_cert.verify(&point.enc_key.to_ed25519(), signing_key.verifying_key(), now)?;
    }
    Ok(Descriptor { signing_cert: outer.signing_cert, revision: outer.revision, inner })
}

/// Reads the outer document alone and verifies it at `now`, as an HSDir does.
///
/// # Errors
/// Those of [`open`] that concern the length, the outer text, its certificate and its signature.
pub fn open_outer<'a>(text: &'a str, keys: &PeriodKeys, now: UnixTime) -> Result<Outer<'a>, DocumentError> {
    verified_outer(text, keys, now).map(|(outer, _)| outer)
}

/// The outer document, and the key that signed it.
fn verified_outer<'a>(
    text: &'a str,
    keys: &PeriodKeys,
    now: UnixTime,
) -> Result<(Outer<'a>, DescriptorSigningKey), DocumentError> {
    if text.len() >= MAX_LENGTH {
        return Err(DocumentError::Length(text.len()));
    }
    let outer = Outer::decode(text)?;
    let certified = outer.signing_cert.claim.certified;
    outer.signing_cert.verify(&certified, keys.blinded.verifying_key(), now)?;
    let signing_key = DescriptorSigningKey::try_from(certified)?;
    outer.verify(signing_key.verifying_key())?;
    Ok((outer, signing_key))
}

fn text_of(bytes: Vec<u8>) -> Result<String, DocumentError> {
    String::from_utf8(bytes).map_err(|_| DocumentError::Encoding)
}

#[cfg(test)]
mod tests;
