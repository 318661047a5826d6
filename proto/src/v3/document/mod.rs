//! The descriptor: three documents one inside the other, two of them encrypted (rend-spec-v3 \[HS-DESC\]).
//!
//! [`Descriptor::seal`] renders a descriptor from the inside out. [`open`] reads one from the outside in, and
//! verifies everything that it returns.

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

/// The public keys of one service's descriptors of one period.
#[derive(Clone, Copy)]
pub struct PeriodKeys {
    /// The blinded key.
    pub blinded: BlindedKey,
    /// The subcredential.
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

/// A descriptor in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// Type 08: the blinded key certifies the descriptor-signing key.
    pub signing_cert: Certificate,
    /// The revision counter.
    pub revision: u64,
    /// The innermost layer.
    pub inner: Inner,
}

impl Descriptor {
    /// Renders and encrypts the layers, each with its own salt: `salts` are the inner and the middle layer's.
    /// The caller signs the result.
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
/// The certified encryption key of a point must be the listed one.
///
/// # Errors
/// The text is too long or malformed, it belongs to another service or period, or a check fails.
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
/// It is too long or malformed, or its certificate or signature is not valid.
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
