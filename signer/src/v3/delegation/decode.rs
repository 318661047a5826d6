//! Reads a delegation and verifies it. It is these bytes, numbers with the highest byte first:
//!
//! ```text
//! identity key 32 | period length 2, in minutes | number of the first period 8 | periods 2, then for each period
//!     seed of the descriptor-signing key 32 | key of the revision counter 32 | first hour of expiry 4 | certificates 2
//!     | signature 64 of each certificate
//! ```
//!
//! The blinded keys are derived from the address, and the certificates rebuilt from the keys: so nothing has to be
//! compared.

use ed25519_dalek::{Signature, VerifyingKey};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::address::AddressError;
use onionbalance_proto::v3::cert::ExpiryHour;
use onionbalance_proto::v3::period::PeriodLengthError;
use onionbalance_proto::v3::{BlindedKey, OnionAddress, PeriodLength, TimePeriod};

use super::{DelegatedPeriod, Delegation, IssuedCertificates};
use crate::system::secret_memory::{self, MemoryError, SecretBytes};
use crate::v3::authority::claim;
use crate::v3::secret::DescriptorSigningSecret;

/// Bytes of a period without its signatures.
/// Bytes of a period without its signatures.
pub const PERIOD_LENGTH: usize = 64 + 4 + 2;

/// Why bytes are no delegation, or there is no place for one.
#[derive(Debug, thiserror::Error)]
pub enum DelegationError {
    /// Too short, too long, or without a period or a certificate.
    #[error("is not in the form that `onionbalance-key delegate` writes")]
    Form,
    /// No onion service has this identity key.
    #[error("is for no onion service: {0}")]
    Address(#[from] AddressError),
    /// No network has such periods.
    #[error("is for {0}")]
    Length(#[from] PeriodLengthError),
    /// A certificate that this service did not sign for this key and period.
    #[error("has a certificate for period {0} that the service's key did not sign")]
    Certificate(u64),
    /// There is no place to keep the secrets.
    #[error("cannot be held: {0}")]
    Memory(#[from] MemoryError),
}

impl Delegation {
    /// Reads and verifies the whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, DelegationError> {
        let mut reader = Reader(bytes);
        let address = OnionAddress::from_identity(*reader.take()?)?;
        let length = PeriodLength::try_from(u16::from_be_bytes(*reader.take()?))?;
        let first = TimePeriod { length, number: u64::from_be_bytes(*reader.take()?) };
        let count = u16::from_be_bytes(*reader.take()?);
        // No more than there can be.
        secret_memory::reserve_more(usize::from(count).min(bytes.len() / PERIOD_LENGTH))?;
        let periods = (0..u64::from(count))
            .map(|index| {
                let number = first.number.checked_add(index).ok_or(DelegationError::Form)?;
                DelegatedPeriod::read(&mut reader, &address, TimePeriod { number, ..first })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if periods.is_empty() || !reader.0.is_empty() {
            return Err(DelegationError::Form);
        }
        Ok(Self { address, first, periods })
    }
}

impl DelegatedPeriod {
    fn read(
        reader: &mut Reader<'_>,
        address: &OnionAddress,
        period: TimePeriod,
    ) -> Result<Self, DelegationError> {
        let secrets = SecretBytes::copy(reader.take()?);
        let certificates = IssuedCertificates {
            signer: *BlindedKey::derive(address, period).verifying_key(),
            first: ExpiryHour(u32::from_be_bytes(*reader.take()?)),
            signatures: reader.signatures()?,
        };
        let signing = DescriptorSigningSecret::from_seed(secrets.halves().0);
        if !certificates.verify(signing.public()) {
            return Err(DelegationError::Certificate(period.number));
        }
        Ok(Self { secrets, certificates })
    }
}

impl IssuedCertificates {
    /// Whether all of them are by the blinded key, for this signing key.
    fn verify(&self, signing: &VerifyingKey) -> bool {
        (u64::from(self.first.0)..).zip(&self.signatures).all(|(hour, signature)| {
            let Ok(hour) = u32::try_from(hour) else { return false };
            let claim = claim(signing, &self.signer, ExpiryHour(hour));
            // Those of the past, too: when one is good is asked when it is used.
            claim.verify(signature, &self.signer, UnixTime(0)).is_ok()
        })
    }
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DelegationError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DelegationError::Form)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of signatures, and the signatures.
    fn signatures(&mut self) -> Result<Vec<Signature>, DelegationError> {
        let count = u16::from_be_bytes(*self.take()?);
        if count == 0 {
            return Err(DelegationError::Form);
        }
        (0..count).map(|_| Ok(Signature::from_bytes(self.take()?))).collect()
    }
}
