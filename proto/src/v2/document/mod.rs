//! The descriptor (rend-spec-v2 §1.3): one signed document around the introduction points.
//!
//! [`Descriptor::seal`] renders a descriptor. [`open`] reads one with the checks of tor's own parser
//! (tor: `rend_parse_v2_service_descriptor`), and verifies everything that it returns.
//!
//! | part | module | read by |
//! |---|---|---|
//! | the document with id, key, time and signature | [`outer`] | HSDirs and clients |
//! | the encryption of the points, with client authorization only | [`layer`] | authorized clients |
//! | the list of introduction points | [`points`] | clients |
//!
//! The balancer opens the descriptors of backends with it. The signer opens them again, and seals those of
//! the frontend.
//!
//! A descriptor of tor 0.4.5.9 is opened, and rendered again byte for byte:
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v2::document::{Readers, open, open_outer};
//! use onionbalance_proto::v2::{OnionAddress, TimePeriod};
//! use rand_core::OsRng;
//!
//! let service: OnionAddress = "lijeinqkg3odt3fl.onion".parse()?;
//! let period = TimePeriod::at(UnixTime(1_795_334_036), &service);
//! let text = std::fs::read_to_string("testdata/v2/b2-replica0.desc")?;
//!
//! let descriptor = open(&text, &service, &[period], None)?;
//! assert_eq!(descriptor.published.to_string(), "2026-11-22 07:00:00");
//!
//! let key = open_outer(&text)?.key;
//! let unsigned = descriptor.seal(&key, Readers::Everyone, &mut OsRng)?;
//! let again = unsigned.finish(&[0; 128]);
//! assert_eq!(again.split("-----BEGIN SIGNATURE").next(), text.split("-----BEGIN SIGNATURE").next());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod outer;
pub mod points;

use rand_core::CryptoRngCore;

use super::layer::{self, LayerError};
use super::{Cookie, OnionAddress, PermanentKey, Replica, SecretIdPart, TimePeriod};
use crate::time::UnixTime;
pub use error::DocumentError;
use outer::{Outer, Unsigned};
use points::IntroductionPoint;

const RSA_PUBLIC_KEY: &str = "RSA PUBLIC KEY";

/// The most introduction points of a descriptor. Clients refuse the whole of a descriptor with more (tor:
/// `MAX_INTRO_POINTS`).
pub const MAX_POINTS: usize = 10;
/// The longest descriptor, in bytes, that HSDirs, and tor at HSPOST, accept (tor: `REND_DESC_MAX_SIZE`).
pub const MAX_LENGTH: usize = 20_480;

/// The publication time of a descriptor that is published at `now`: the beginning of the hour, as in tor.
///
/// An HSDir keeps the descriptor with the later publication time. Of two with the same one it keeps the one
/// that came last, so that a service can replace a descriptor within the hour.
pub fn publication_time(now: UnixTime) -> UnixTime {
    now.minus(now.0 % 3600)
}

/// A descriptor in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// The time period. With `replica` it determines the id, and so the HSDirs.
    pub period: TimePeriod,
    /// The replica: which of the period's two descriptors it is.
    pub replica: Replica,
    /// The publication time, a whole hour: see [`publication_time`].
    pub published: UnixTime,
    /// The introduction points, in the descriptor's order. [`open`] returns 1 to [`MAX_POINTS`] of them.
    pub points: Vec<IntroductionPoint>,
}

/// The readers of the introduction points.
#[derive(Clone, Copy, Debug)]
pub enum Readers<'a> {
    /// Everyone with the descriptor.
    Everyone,
    /// The clients with one of these cookies (basic authorization), at most [`layer::MAX_CLIENTS`].
    Basic(&'a [Cookie]),
    /// The one client with this cookie, which alone can compute the id (stealth authorization).
    Stealth(&'a Cookie),
}

impl Descriptor {
    /// Renders the descriptor of the service with this key; the caller signs the result. `rng` is used for
    /// encrypted points only. The number of points is not checked: more than [`MAX_POINTS`] are rendered,
    /// too.
    ///
    /// # Errors
    /// There are more cookies than [`layer::MAX_CLIENTS`].
    pub fn seal(
        &self,
        key: &PermanentKey,
        readers: Readers<'_>,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Unsigned, LayerError> {
        let points = points::encode(&self.points).into_bytes();
        let (message, cookie) = match readers {
            Readers::Everyone => (points, None),
            Readers::Basic(cookies) => (layer::encrypt_basic(&points, cookies, rng)?, None),
            Readers::Stealth(cookie) => (layer::encrypt_stealth(&points, cookie, rng), Some(cookie)),
        };
        let secret_id_part = SecretIdPart::derive(self.period, self.replica, cookie);
        Ok(Unsigned::new(key, secret_id_part, self.published, &message))
    }
}

/// Reads the descriptor of the service and verifies it. `cookie` decrypts the introduction points of a
/// service that authorizes its clients.
///
/// The publication time is not compared with a clock: an old descriptor of one of `periods` opens, as one
/// that a hostile HSDir repeats would.
///
/// # Errors
/// - The text is longer than [`MAX_LENGTH`] or malformed, or its signature or id is wrong: see
///   [`open_outer`].
/// - [`DocumentError::OtherService`]: another service signed it.
/// - [`DocumentError::Period`]: it belongs to none of `periods`. With stealth authorization this is the error
///   for a wrong `cookie`, too, because the cookie is part of the id.
/// - [`DocumentError::Layer`]: `cookie` does not decrypt the introduction points.
/// - [`DocumentError::NoPoints`], [`DocumentError::TooManyPoints`]: there are not 1 to [`MAX_POINTS`] points.
pub fn open(
    text: &str,
    service: &OnionAddress,
    periods: &[TimePeriod],
    cookie: Option<&Cookie>,
) -> Result<Descriptor, DocumentError> {
    let outer = open_outer(text)?;
    if outer.key.address() != *service {
        return Err(DocumentError::OtherService(outer.key.address()));
    }
    outer.open(periods, cookie)
}

/// Reads the descriptor without its introduction points, and verifies its signature and its id, as an HSDir
/// does. The service is the one with [`Outer::key`].
///
/// # Errors
/// - [`DocumentError::Length`]: the text is longer than [`MAX_LENGTH`].
/// - The text is malformed: see [`Outer::decode`].
/// - [`DocumentError::Signature`], [`DocumentError::Id`]: the signature is not the key's, or the id does not
///   follow from the key and the secret-id-part.
pub fn open_outer(text: &str) -> Result<Outer<'_>, DocumentError> {
    if text.len() > MAX_LENGTH {
        return Err(DocumentError::Length(text.len()));
    }
    let outer = Outer::decode(text)?;
    outer.verify()?;
    Ok(outer)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
