//! The descriptor (rend-spec-v2 §1.3): one signed document around the introduction points.
//!
//! [`Descriptor::seal`] makes one, [`open`] takes one apart, demands what tor's own parser does
//! (`rend_parse_v2_service_descriptor`), and believes nothing that it has not verified.

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

/// Clients refuse a descriptor with more introduction points as a whole (tor: `MAX_INTRO_POINTS`).
pub const MAX_POINTS: usize = 10;
/// HSDirs, and tor at HSPOST, refuse a descriptor that is longer (tor: `REND_DESC_MAX_SIZE`).
pub const MAX_LENGTH: usize = 20_480;

/// The publication time of what is published at `now`: tor tells HSDirs no more than the hour.
pub fn publication_time(now: UnixTime) -> UnixTime {
    now.minus(now.0 % 3600)
}

/// A descriptor in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// Its period.
    pub period: TimePeriod,
    /// Which of the period's two it is.
    pub replica: Replica,
    /// When it was published, to the hour.
    pub published: UnixTime,
    /// The introduction points, in the order in which they stand.
    pub points: Vec<IntroductionPoint>,
}

/// Who shall be able to read the introduction points.
#[derive(Clone, Copy, Debug)]
pub enum Readers<'a> {
    /// Whoever has the descriptor.
    Everyone,
    /// The clients that hold one of these cookies (basic authorization).
    Basic(&'a [Cookie]),
    /// The one client that holds this cookie, and that alone can compute the id (stealth authorization).
    Stealth(&'a Cookie),
}

impl Descriptor {
    /// Renders the descriptor of the service with this key. What is left to do is to sign the result.
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

/// Reads the descriptor of the service, which must be of one of these periods, and verifies all that can be. `cookie`
/// opens the introduction points where they are encrypted.
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

/// Reads the descriptor without its introduction points, and verifies its signature and its id: what an HSDir can do.
/// Whose it is says its key.
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
