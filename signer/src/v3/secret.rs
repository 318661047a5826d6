//! The ed25519 secrets of version 3 services.

use curve25519_dalek::Scalar;
use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, VerifyingKey};
use onionbalance_proto::v3::address::AddressError;
use onionbalance_proto::v3::blinding::blinding_factor;
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::system::secret_memory::SecretBytes;
use crate::system::stack;

/// An expanded ed25519 secret key with its public half.
struct KeyPair {
    /// The scalar, reduced, then the prefix for nonces.
    secret: SecretBytes,
    public: VerifyingKey,
}

impl KeyPair {
    fn new(secret: &ExpandedSecretKey) -> Self {
        let public = VerifyingKey::from(EdwardsPoint::mul_base(&secret.scalar));
        Self { secret: SecretBytes::new(secret.scalar.as_bytes(), &secret.hash_prefix), public }
    }

    /// Calls `act` with the secret key, and wipes the stack.
    fn with<T>(&self, act: impl FnOnce(&ExpandedSecretKey) -> T) -> T {
        stack::wiped(|| {
            let [scalar, prefix] = self.secret.expose();
            let scalar = Scalar::from_bytes_mod_order(*scalar);
            act(&ExpandedSecretKey { scalar, hash_prefix: *prefix })
        })
    }

    /// Signs, and verifies the signature. A signature that went wrong by a hardware fault can reveal the key.
    /// It must not leave, and no result of this process can be trusted any more.
    fn sign(&self, message: &[u8]) -> Signature {
        let signature = self.with(|secret| raw_sign::<Sha512>(secret, message, &self.public));
        if self.public.verify_strict(message, &signature).is_err() {
            std::process::abort();
        }
        signature
    }
}

/// The 64 bytes that RFC 8032 derives from a seed: the scalar, not clamped yet, then the prefix for nonces.
pub fn expand(seed: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    Zeroizing::new(Sha512::digest(seed).into())
}

/// A service's identity secret (`KS_hs_id`): its holder is the service.
pub struct IdentitySecret {
    key: KeyPair,
    address: OnionAddress,
}

impl IdentitySecret {
    /// The secret of the 64 bytes in tor's key file: the clamped scalar, then the prefix for nonces.
    ///
    /// # Errors
    /// The public key has no onion address.
    pub fn from_expanded(bytes: &[u8; 64]) -> Result<Self, AddressError> {
        stack::wiped(|| {
            let key = KeyPair::new(&ExpandedSecretKey::from_bytes(bytes));
            let address = OnionAddress::from_identity(key.public.to_bytes())?;
            Ok(Self { key, address })
        })
    }

    /// The secret of the 32 bytes in a PKCS#8 file, which RFC 8032 expands into the other form.
    ///
    /// # Errors
    /// The public key has no onion address.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, AddressError> {
        stack::wiped(|| Self::from_expanded(&expand(seed)))
    }

    /// The address of the service.
    pub fn address(&self) -> OnionAddress {
        self.address
    }

    /// The secret half of the service's blinded key for `period` (rend-spec-v3 \[KEYBLIND\]).
    ///
    /// The prefix for nonces is derived from the identity's own: a constant in its place would let anyone
    /// compute the identity scalar from a published certificate.
    pub fn blind(&self, period: TimePeriod) -> BlindedSecret {
        self.key.with(|identity| {
            let scalar: Scalar = blinding_factor(&self.address, period) * identity.scalar;
            let mut digest = Sha512::new()
                .chain_update(b"Derive temporary signing key hash input")
                .chain_update(identity.hash_prefix)
                .finalize();
            let mut hash_prefix = [0; 32];
            hash_prefix.iter_mut().zip(&digest).for_each(|(to, from)| *to = *from);
            digest.as_mut_slice().zeroize();
            BlindedSecret(KeyPair::new(&ExpandedSecretKey { scalar, hash_prefix }))
        })
    }
}

/// The secret half of a blinded key (`KS_hs_blind_id`). Worth as much as the identity secret, since the
/// factor between them is public.
pub struct BlindedSecret(KeyPair);

impl BlindedSecret {
    /// The blinded key, 32 bytes.
    pub fn public(&self) -> &VerifyingKey {
        &self.0.public
    }

    /// Signs the certificate of a descriptor-signing key.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }

    /// Calls `act` with scalar and prefix in tor's order, 64 bytes, and wipes the stack: tor derives the
    /// revision counter's key from them.
    pub fn with_expanded<T>(&self, act: impl FnOnce(&[u8]) -> T) -> T {
        stack::wiped(|| act(self.0.secret.expose().as_flattened()))
    }
}

/// A descriptor-signing secret (`KS_hs_desc_sign`): good for one service and period.
pub struct DescriptorSigningSecret(KeyPair);

impl DescriptorSigningSecret {
    /// A new secret from `rng`.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        stack::wiped(|| {
            let mut bytes = Zeroizing::new([0; 64]);
            rng.fill_bytes(bytes.as_mut_slice());
            Self(KeyPair::new(&ExpandedSecretKey::from_bytes(&bytes)))
        })
    }

    /// The secret of the 32 bytes that RFC 8032 expands.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        stack::wiped(|| Self(KeyPair::new(&ExpandedSecretKey::from_bytes(&expand(seed)))))
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.0.public
    }

    /// Signs a descriptor or the certificate of an introduction point's key.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXUPPER_PERMISSIVE;
    use onionbalance_proto::v3::{BlindedKey, PeriodLength};
    use rand::RngCore;

    use super::*;

    fn period(number: u64) -> TimePeriod {
        TimePeriod { length: PeriodLength::try_from(1440).unwrap(), number }
    }

    #[test]
    fn blinds_as_tors_test_vector_says() {
        // C tor, test_hs_common.c, test_blinding_basics: period 1234.
        let secret = "D8C7FF0E31295B66540D789AF3E3DF992038A9592EEA01D8B7CBA06D6E66D159\
                      4D6167696320576F7264733A20737065697373636F62616C742062697669756D";
        let bytes = HEXUPPER_PERMISSIVE.decode(secret.as_bytes()).unwrap();
        let identity = IdentitySecret::from_expanded(&bytes.try_into().unwrap()).unwrap();
        let blinded = identity.blind(period(1234));
        assert_eq!(
            blinded.with_expanded(|bytes| HEXUPPER_PERMISSIVE.encode(bytes)),
            "A958DC83AC885F6814C67035DE817A2C604D5D2F715282079448F789B656350B\
             4540FE1F80AA3F7E91306B7BF7A8E367293352B14A29FDCC8C19F3558075524B"
        );
        assert_eq!(
            HEXUPPER_PERMISSIVE.encode(blinded.public().as_bytes()),
            "3A50BF210E8F9EE955AE0014F7A6917FB65EBF098A86305ABB508D1A7291B6D5"
        );
    }

    #[test]
    fn both_halves_are_blinded_alike() {
        for number in 0..50 {
            let mut seed = [0; 32];
            rand::thread_rng().fill_bytes(&mut seed);
            let identity = IdentitySecret::from_seed(&seed).unwrap();
            let public = BlindedKey::derive(&identity.address(), period(number));
            assert_eq!(identity.blind(period(number)).public(), public.verifying_key());
        }
    }
}
