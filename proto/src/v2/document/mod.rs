//! The descriptor (rend-spec-v2 §1.3): one signed document around the introduction points.
//!
//! [`Descriptor::seal`] renders a descriptor. [`open`] reads one with the checks of tor's own parser
//! (tor: `rend_parse_v2_service_descriptor`), and verifies everything that it returns.

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
pub fn publication_time(now: UnixTime) -> UnixTime {
    now.minus(now.0 % 3600)
}

/// A descriptor in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// The time period.
    pub period: TimePeriod,
    /// The replica: which of the period's two descriptors it is.
    pub replica: Replica,
    /// The publication time, a whole hour.
    pub published: UnixTime,
    /// The introduction points, in the descriptor's order.
    pub points: Vec<IntroductionPoint>,
}

/// The readers of the introduction points.
#[derive(Clone, Copy, Debug)]
pub enum Readers<'a> {
    /// Everyone with the descriptor.
    Everyone,
    /// The clients with one of these cookies (basic authorization).
    Basic(&'a [Cookie]),
    /// The one client with this cookie, which alone can compute the id (stealth authorization).
    Stealth(&'a Cookie),
}

impl Descriptor {
    /// Renders the descriptor of the service with this key; the caller signs the result.
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
/// # Errors
/// The text is malformed or not validly signed, it belongs to another service or to none of `periods`, or
/// `cookie` does not decrypt the introduction points.
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
/// The text is too long, malformed or not validly signed, or the id does not follow from the key.
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
