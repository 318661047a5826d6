//! The authority that certifies the descriptor-signing keys of a v3 service: its identity secret, or
//! certificates that were issued with it on another machine.

use ed25519_dalek::VerifyingKey;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CERT_LIFETIME_SECS, Certificate, Claim, ExpiryHour};
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use onionbalance_proto::wire::Refusal;
use rand_core::CryptoRngCore;

use super::delegation::Delegation;
use crate::v3::revision::RevisionKey;
use crate::v3::secret::{BlindedSecret, DescriptorSigningSecret, IdentitySecret};

/// The authority that certifies a service's descriptor-signing keys.
pub enum Authority {
    /// The identity secret itself.
    Identity(IdentitySecret),
    /// Certificates and keys for some periods, which the identity secret issued.
    Delegation(Delegation),
}

/// The secrets that sign in one period.
pub struct PeriodSecrets {
    /// Signs the descriptors.
    pub signing: DescriptorSigningSecret,
    /// The key of the descriptors' revision counter.
    pub revision: RevisionKey,
}

impl Authority {
    /// The address of the service.
    pub fn address(&self) -> OnionAddress {
        match self {
            Self::Identity(secret) => secret.address(),
            Self::Delegation(delegation) => delegation.address,
        }
    }

    /// The secrets for `period`: new ones of an identity, the issued ones of a delegation.
    ///
    /// # Errors
    /// [`Refusal::NotDelegated`] if a delegation does not cover `period`.
    pub fn period(&self, period: TimePeriod, rng: &mut impl CryptoRngCore) -> Result<PeriodSecrets, Refusal> {
        match self {
            Self::Identity(secret) => Ok(PeriodSecrets {
                signing: DescriptorSigningSecret::generate(rng),
                revision: RevisionKey::new(&secret.blind(period)),
            }),
            Self::Delegation(delegation) => {
                let [seed, counter] = delegation.period(period)?.secrets.expose();
                Ok(PeriodSecrets {
                    signing: DescriptorSigningSecret::from_seed(seed),
                    revision: RevisionKey::from_bytes(counter),
                })
            }
        }
    }

    /// The type-08 certificate of `signing`, a key of `period`. It expires on the first whole hour after its
    /// lifetime; an issued one expires as near to that hour as there is one.
    ///
    /// # Errors
    /// [`Refusal::NotDelegated`] if a delegation does not cover `period`, or has no certificate that is valid
    /// at `now`.
    pub fn certify(
        &self,
        signing: &VerifyingKey,
        period: TimePeriod,
        now: UnixTime,
    ) -> Result<Certificate, Refusal> {
        match self {
            Self::Identity(secret) => Ok(certify(&secret.blind(period), signing, expiry(now))),
            Self::Delegation(delegation) => {
                let nearest = delegation.period(period)?.certificates.nearest(signing, expiry(now));
                nearest.filter(|found| now < found.claim.expires.moment()).ok_or(Refusal::NotDelegated)
            }
        }
    }
}

/// The expiry of a certificate that is made at `now` (tor: `build_desc_signing_key_cert`).
pub fn expiry(now: UnixTime) -> ExpiryHour {
    ExpiryHour::not_before(now.plus(CERT_LIFETIME_SECS))
}

/// The type-08 certificate of `signing` that expires at `expires`.
pub fn certify(blinded: &BlindedSecret, signing: &VerifyingKey, expires: ExpiryHour) -> Certificate {
    let claim = Claim::of_signing_key(signing, blinded.public(), expires);
    Certificate { claim, signature: blinded.sign(&claim.signed_bytes()) }
}
