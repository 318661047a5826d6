//! The RSA secret of a version 2 service.

use onionbalance_proto::v2::keys::{KeyError, LENGTH};
use onionbalance_proto::v2::{OnionAddress, PermanentKey};
use rand_core::CryptoRngCore;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

/// A service's permanent secret: its holder is the service. `rsa` wipes it.
pub struct PermanentSecret {
    key: RsaPrivateKey,
    public: PermanentKey,
}

impl PermanentSecret {
    /// The secret of an RSA key. `rsa` has checked that the parts of the key belong together.
    ///
    /// # Errors
    /// The key is not of the size or exponent of a version 2 service's.
    pub fn new(key: RsaPrivateKey) -> Result<Self, KeyError> {
        let public = PermanentKey::new(key.to_public_key())?;
        Ok(Self { key, public })
    }

    /// The public half.
    pub fn public(&self) -> &PermanentKey {
        &self.public
    }

    /// The address of the service.
    pub fn address(&self) -> OnionAddress {
        self.public.address()
    }

    /// Signs the SHA-1 digest of a descriptor as tor does: PKCS#1 v1.5 type 1 around the bare 20 bytes. The
    /// number that is raised to the secret power is blinded, so that the duration does not depend on the
    /// secret.
    ///
    /// `None` if the signature is wrong: this computer has a hardware fault.
    pub fn sign(&self, digest: &[u8; 20], rng: &mut impl CryptoRngCore) -> Option<[u8; LENGTH]> {
        let signature = self.key.sign_with_rng(rng, Pkcs1v15Sign::new_unprefixed(), digest).ok()?;
        let signature = <[u8; LENGTH]>::try_from(signature).ok()?;
        self.public.verifies(digest, &signature).then_some(signature)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rsa::pkcs1::DecodeRsaPrivateKey;
    use sha1::{Digest, Sha1};

    use super::*;

    const PEM: &str = include_str!("../../../proto/testdata/v2/onionbalance.key");

    #[test]
    fn signs_as_onionbalances_test_vector_says() {
        let secret = PermanentSecret::new(RsaPrivateKey::from_pkcs1_pem(PEM).unwrap()).unwrap();
        assert_eq!(secret.address().without_suffix(), "jyvfq5umznvka34v");
        let digest = HEXLOWER.decode(b"2a447f044d2f8d8127e8133b2d545450bc58760e").unwrap();
        let signature = secret.sign(&digest.try_into().unwrap(), &mut StdRng::seed_from_u64(1)).unwrap();
        let mut object = String::new();
        onionbalance_proto::netdoc::push_object(&mut object, "SIGNATURE", &signature);
        assert_eq!(HEXLOWER.encode(&Sha1::digest(object)), "27bee071a7e0f0af26a1c176f0c0af00854c05c1");
    }

    #[test]
    fn refuses_another_size() {
        let key = RsaPrivateKey::new(&mut StdRng::seed_from_u64(2), 512).unwrap();
        assert_eq!(PermanentSecret::new(key).err(), Some(KeyError::Size(512)));
    }
}
