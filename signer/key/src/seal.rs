//! Seals what has no encrypted form of anybody else's: the writing half of the signer's `keys/sealed.rs`, which has the layout.

use hmac::Mac;
use onionbalance_signer::keys::sealed::{CODE_LENGTH, HEAD_LENGTH, Keys, Kind, LABEL, VERSION};
use pkcs8::der::pem::{self, LineEnding};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// The container in PEM with `plaintext` under a passphrase. `None` if this machine cannot derive keys.
pub fn seal(kind: Kind, plaintext: &[u8], passphrase: &[u8], rng: &mut impl CryptoRngCore) -> Option<String> {
    let mut head = [0; HEAD_LENGTH];
    let (front, salt) = head.split_at_mut(2);
    front.copy_from_slice(&[VERSION, kind as u8]);
    rng.fill_bytes(salt);
    let keys = Keys::derive(passphrase, &head)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD_LENGTH + plaintext.len() + CODE_LENGTH));
    bytes.extend(head);
    bytes.extend(plaintext);
    keys.apply_keystream(bytes.get_mut(HEAD_LENGTH..)?);
    let code = keys.code(&bytes)?.finalize().into_bytes();
    bytes.extend(code);
    pem::encode_string(LABEL, LineEnding::LF, &bytes).ok()
}

#[cfg(test)]
mod tests {
    use onionbalance_signer::keys::pem::Pem;
    use onionbalance_signer::keys::sealed::Sealed;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_signer_opens_what_is_sealed() {
        let mut rng = StdRng::seed_from_u64(1);
        for (kind, plaintext) in
            [(Kind::ExpandedKey, vec![7; 64]), (Kind::Delegation, (0..=255).cycle().take(9000).collect())]
        {
            let file = seal(kind, &plaintext, b"right", &mut rng).unwrap();
            let sealed = Sealed::parse(Pem::find(file.as_bytes()).unwrap().decode().unwrap()).unwrap();
            assert_eq!(sealed.kind(), kind);
            assert_eq!(*sealed.open(b"right").unwrap(), plaintext);
            assert!(sealed.open(b"wrong").is_none());
        }
    }

    #[test]
    fn two_of_the_same_contents_have_nothing_in_common() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut bytes = || {
            let text = seal(Kind::ExpandedKey, &[7; 64], b"right", &mut rng).unwrap();
            pem::decode_vec(text.as_bytes()).unwrap().1
        };
        let same = bytes().iter().zip(bytes()).skip(2).filter(|(one, other)| **one == *other).count();
        assert!(same < 8, "{same} of 112 bytes");
    }
}
