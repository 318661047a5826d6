//! Keys of v2 frontends.

use std::ops::RangeInclusive;

use anyhow::{Context, Result};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::period::seconds_left;
use onionbalance_proto::v2::{OnionAddress, PermanentKey};
use rand_core::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey, LineEnding};

/// A fresh key.
#[derive(Clone, Debug)]
pub struct KeyV2 {
    key: RsaPrivateKey,
    address: OnionAddress,
}

impl KeyV2 {
    /// Makes a key.
    pub fn generate() -> Result<Self> {
        let key = RsaPrivateKey::new(&mut OsRng, onionbalance_proto::v2::keys::BITS)?;
        let address = PermanentKey::new(key.to_public_key())?.address();
        Ok(Self { key, address })
    }

    /// Makes a key with its next time period beginning within this range of seconds after `now`. The first
    /// byte of the address determines the time of day, so that no clock has to be set. Fails for a range
    /// without such a time: the times are 338 seconds apart.
    pub fn with_period_ending(now: UnixTime, after: RangeInclusive<u64>) -> Result<Self> {
        // At least one key in 256 fits.
        let keys = std::iter::repeat_with(Self::generate).take(4096);
        let mut fitting = keys
            .filter(|key| key.as_ref().map_or(true, |key| after.contains(&seconds_left(now, &key.address))));
        fitting.next().with_context(|| format!("no key's period ends after {after:?} seconds"))?
    }

    /// The address of the service with this key.
    pub fn address(&self) -> OnionAddress {
        self.address
    }

    /// PKCS#1 in PEM, as tor and `openssl genrsa -traditional` write it.
    pub fn pem(&self) -> Result<String> {
        Ok(self.key.to_pkcs1_pem(LineEnding::LF)?.to_string())
    }
}
