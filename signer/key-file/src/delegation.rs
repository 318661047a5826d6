//! Delegations: the descriptor-signing keys with their certificates, and the keys of the revision counters,
//! for some time periods of a version-3 service. A delegation contains neither the identity secret nor a
//! blinded secret, which would be worth as much.
//!
//! A delegation is these bytes. Numbers are big-endian, and lengths are in bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 32 | identity key |
//! | 32 | 2 | length of the periods in minutes, 5 to 14400 |
//! | 34 | 8 | number of the first period |
//! | 42 | 2 | number of periods, at least 1 |
//! | 44 | | the periods, one behind the other |
//!
//! Each period, with n certificates:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 32 | seed of the descriptor-signing key |
//! | 32 | 32 | key of the revision counter |
//! | 64 | 4 | expiry of the first certificate, in hours since the epoch |
//! | 68 | 2 | n, at least 1 |
//! | 70 | 64 n | signatures of the certificates, each of which expires an hour after the one before |
//!
//! The blinded keys are derived from the address, and the certificates are rebuilt from the keys, so that
//! none has to be compared.
//!
//! The key of the revision counter makes the counter that tor would make with the identity secret, and
//! reveals nothing of that secret (rend-spec-v3 appendix F; tor: `crypto_ope.c`):
//!
//! ```text
//! key      = SHA3-256("rev-counter-generation" 00 | expanded blinded secret 64)
//! n        = seconds since half a period before the period begins, and 1
//! revision = the sum of the first n numbers of 2 bytes, little-endian, of AES-256 in counter mode from 0 on,
//!            each of them plus 1
//! ```
//!
//! `onionbalance-key delegate` writes a delegation, in a [`sealed`](crate::sealed) container. The signer
//! reads it.
//!
//! ```
//! use onionbalance_key_file::delegation::Delegation;
//! use onionbalance_key_file::{Key, KeyFile};
//!
//! let file = std::fs::read("../../proto/testdata/v3/front-delegation.pem")?;
//! let KeyFile::Encrypted(sealed) = KeyFile::parse(&file)? else { panic!("it is sealed") };
//! let Some(Key::Delegation(bytes)) = sealed.open(b"onion balance v3")? else { panic!("a delegation") };
//!
//! let delegation = Delegation::decode(&bytes)?;
//! assert!(delegation.address.to_string().starts_with("y47iqrgrj4fevtx4"));
//! assert_eq!(delegation.periods.len(), usize::from(delegation.span.count));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::address::AddressError;
use onionbalance_proto::v3::cert::{Certificate, Claim, ExpiryHour};
use onionbalance_proto::v3::period::PeriodLengthError;
use onionbalance_proto::v3::{BlindedKey, OnionAddress, PeriodLength, TimePeriod};
use zeroize::Zeroizing;

/// The length of the part before the first period, in bytes.
const HEAD_LENGTH: usize = 32 + 2 + 8 + 2;
/// The length of a period without its signatures, in bytes.
const PERIOD_LENGTH: usize = 64 + 4 + 2;

/// A delegation that was read and verified. Its secrets are references into the bytes that were read.
pub struct Delegation<'a> {
    /// The address of the service.
    pub address: OnionAddress,
    /// The periods that it covers, 1 to 65 535.
    pub span: Span,
    /// The keys of each period, in order: as many as `span` has periods.
    pub periods: Vec<DelegatedPeriod<'a>>,
}

/// The keys of one period.
pub struct DelegatedPeriod<'a> {
    /// The seed of the descriptor-signing key, 32 bytes (RFC 8032).
    pub seed: &'a [u8; 32],
    /// The key of the revision counter, 32 bytes. Tor derives the same one from the blinded secret
    /// (rend-spec-v3 appendix F).
    pub counter: &'a [u8; 32],
    /// The certificates of the descriptor-signing key, verified except for their expiry.
    pub certificates: IssuedCertificates,
}

/// The type-08 certificates of one descriptor-signing key, one for each hour at which tor could let it
/// expire.
#[derive(Clone)]
pub struct IssuedCertificates {
    signer: VerifyingKey,
    first: ExpiryHour,
    /// The signatures of the certificates that expire at the first hour and at each following hour. At least
    /// one.
    signatures: Vec<Signature>,
}

/// The bytes are not a delegation. The message follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum DelegationError {
    /// The bytes are too few or too many, or have no period or no certificate.
    #[error("is not in the form that `onionbalance-key delegate` writes")]
    Form,
    /// The identity key is not one of an onion service.
    #[error("has an identity key that is not usable: {0}")]
    Address(#[from] AddressError),
    /// No network has periods of this length.
    #[error("is for {0}")]
    Length(#[from] PeriodLengthError),
    /// A certificate of this period has a wrong signature.
    #[error("has a certificate for period {0} that the service's key did not sign")]
    Certificate(u64),
}

impl<'a> Delegation<'a> {
    /// Reads a delegation and verifies every certificate. Expired ones pass: the time is checked when one is
    /// used.
    ///
    /// # Errors
    /// - [`DelegationError::Form`]: the bytes are too few or too many, or have no period or no certificate.
    /// - [`DelegationError::Address`], [`DelegationError::Length`]: the identity key or the length of the
    ///   periods is not one that a service can have.
    /// - [`DelegationError::Certificate`]: the blinded key of a period did not sign one of its certificates.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DelegationError> {
        let mut reader = Reader(bytes);
        let address = OnionAddress::from_identity(*reader.take()?)?;
        let length = PeriodLength::try_from(u16::from_be_bytes(*reader.take()?))?;
        let first = TimePeriod { length, number: u64::from_be_bytes(*reader.take()?) };
        let span = Span { first, count: u16::from_be_bytes(*reader.take()?) };
        let periods = span.periods().map(|period| DelegatedPeriod::decode(&mut reader, &address, period));
        let periods = periods.collect::<Result<Vec<_>, _>>()?;
        if periods.is_empty() || !reader.0.is_empty() {
            return Err(DelegationError::Form);
        }
        Ok(Self { address, span, periods })
    }
}

impl<'a> DelegatedPeriod<'a> {
    fn decode(
        reader: &mut Reader<'a>,
        address: &OnionAddress,
        period: TimePeriod,
    ) -> Result<Self, DelegationError> {
        let (seed, counter) = (reader.take()?, reader.take()?);
        let signer = *BlindedKey::derive(address, period).verifying_key();
        let first = ExpiryHour(u32::from_be_bytes(*reader.take()?));
        let count = u16::from_be_bytes(*reader.take()?);
        let signatures = (0..count).map(|_| Ok(Signature::from_bytes(reader.take()?)));
        let signatures = signatures.collect::<Result<Vec<_>, DelegationError>>()?;
        let certificates = IssuedCertificates { signer, first, signatures };
        if certificates.signatures.is_empty() {
            return Err(DelegationError::Form);
        }
        if !certificates.verify(&SigningKey::from_bytes(seed).verifying_key()) {
            return Err(DelegationError::Certificate(period.number));
        }
        Ok(Self { seed, counter, certificates })
    }
}

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DelegationError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DelegationError::Form)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl IssuedCertificates {
    /// True if the blinded key signed all certificates, for this signing key.
    fn verify(&self, signing: &VerifyingKey) -> bool {
        (u64::from(self.first.0)..).zip(&self.signatures).all(|(hour, signature)| {
            let Ok(hour) = u32::try_from(hour) else { return false };
            let claim = Claim::of_signing_key(signing, &self.signer, ExpiryHour(hour));
            // Expired certificates pass, too: the time is checked when one is used.
            claim.verify(signature, &self.signer, UnixTime(0)).is_ok()
        })
    }

    /// The blinded key that signed the certificates.
    pub fn signer(&self) -> &VerifyingKey {
        &self.signer
    }

    /// The certificate with this expiry, or else with the nearest one. `signing` is the descriptor-signing
    /// key that was delegated: with another one the signature is wrong. `None`: there are no certificates.
    pub fn nearest(&self, signing: &VerifyingKey, expires: ExpiryHour) -> Option<Certificate> {
        let last = u32::try_from(self.signatures.len()).ok()?.checked_sub(1)?;
        let index = expires.0.saturating_sub(self.first.0).min(last);
        let signature = *self.signatures.get(usize::try_from(index).ok()?)?;
        let expires = ExpiryHour(self.first.0.saturating_add(index));
        Some(Certificate { claim: Claim::of_signing_key(signing, &self.signer, expires), signature })
    }
}

/// A delegation that is being written.
pub struct Encoder(Zeroizing<Vec<u8>>);

impl Encoder {
    /// Begins the delegation for these periods. `certificates` is the number of certificates of all periods
    /// together.
    pub fn new(address: &OnionAddress, span: Span, certificates: usize) -> Self {
        // Room for the whole from the start: a buffer that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(encoded_length(span, certificates)));
        bytes.extend(address.identity());
        bytes.extend(u16::from(span.first.length).to_be_bytes());
        bytes.extend(span.first.number.to_be_bytes());
        bytes.extend(span.count.to_be_bytes());
        Self(bytes)
    }

    /// Adds the next period: the seed of its descriptor-signing key, the key of its revision counter, and the
    /// signatures of the certificates that expire at the first hour and at each following hour. There are 1
    /// to 65 535 signatures, and none is verified.
    pub fn add(&mut self, seed: &[u8; 32], counter: &[u8; 32], first: ExpiryHour, signatures: &[Signature]) {
        self.0.extend(seed);
        self.0.extend(counter);
        self.0.extend(first.0.to_be_bytes());
        self.0.extend(u16::try_from(signatures.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.0.extend(signatures.iter().flat_map(Signature::to_bytes));
    }

    /// The encoded delegation, which the caller seals.
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// The length, in bytes, of the encoded delegation for these periods, which have this number of certificates
/// together: 44, 70 for each period, and 64 for each certificate.
pub fn encoded_length(span: Span, certificates: usize) -> usize {
    HEAD_LENGTH + usize::from(span.count) * PERIOD_LENGTH + certificates * Signature::BYTE_SIZE
}

/// Consecutive time periods of one length.
///
/// ```
/// use onionbalance_key_file::delegation::Span;
/// use onionbalance_proto::v3::{PeriodLength, TimePeriod};
///
/// let span = Span { first: TimePeriod { length: PeriodLength::DAY, number: 20_000 }, count: 30 };
/// assert_eq!(span.last().number, 20_029);
/// assert_eq!(span.begins().to_string(), "2024-10-04 12:00:00");
/// assert_eq!(span.ends().since(span.begins()), 30 * 86_400);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first period.
    pub first: TimePeriod,
    /// The number of periods, with the first one; 0 for none.
    pub count: u16,
}

impl Span {
    /// The periods, the first one first.
    pub fn periods(self) -> impl Iterator<Item = TimePeriod> {
        (0..self.count).map(move |index| self.at(index))
    }

    /// The last period; the first one if `count` is 0.
    pub fn last(self) -> TimePeriod {
        self.at(self.count.saturating_sub(1))
    }

    fn at(self, index: u16) -> TimePeriod {
        TimePeriod { number: self.first.number.saturating_add(index.into()), ..self.first }
    }

    /// The beginning of the first period.
    pub fn begins(self) -> UnixTime {
        self.first.start(offset(self.first.length))
    }

    /// The end of the last period, after which clients do not find the service.
    pub fn ends(self) -> UnixTime {
        self.last().next().start(offset(self.first.length))
    }
}

/// The offset of periods, in minutes after a multiple of their length: twelve voting intervals, which are
/// half a day on the public network and half a period on testing networks (tor: `hs_get_time_period_num`,
/// `get_time_period_length`).
pub fn offset(length: PeriodLength) -> u64 {
    length.minutes() / 2
}
