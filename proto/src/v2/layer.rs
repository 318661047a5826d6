//! The encryption of introduction points to authorized clients (rend-spec-v2 §2.1, §2.2): AES-128 in counter
//! mode. It has no authentication code, because the descriptor's signature covers it.
//!
//! The first byte of a descriptor's message is its kind. A message that begins with `introduction-point ` is
//! not encrypted. For basic authorization, with N blocks of 16 entries:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | the kind: 1 |
//! | 1 | 1 | N: 1 to 32, for up to 512 clients |
//! | 2 | 320 N | 16 N entries, in order of their bytes: client id 4, encrypted session key 16 |
//! | 2 + 320 N | 16 | IV |
//! | 18 + 320 N | the rest | the points under the session key, with the IV as the first counter |
//!
//! A client id is the beginning of SHA-1(cookie, IV). The session key is encrypted to the cookie with a first
//! counter of 0. Unused entries are random bytes.
//!
//! For stealth authorization the cookie is the key:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | the kind: 2 |
//! | 1 | 16 | IV |
//! | 17 | the rest | the points without their last byte, under the cookie, with the IV as the first counter |
//!
//! ```
//! use onionbalance_proto::v2::layer::{LayerError, decrypt, encrypt_basic};
//! use rand_core::OsRng;
//!
//! let [alice, bob, carol] =
//!     ["TRTUFLcJe7zonSx/Ben5Sg", "5d2e0u1K41rdlW3j6lkOiw", "1LWjaYKD5ufodnNvVIZvpA"].map(str::parse);
//! let (alice, bob, carol) = (alice?, bob?, carol?);
//! let points = b"introduction-point aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
//!
//! let message = encrypt_basic(points, &[alice, bob.clone()], &mut OsRng)?;
//! assert_eq!(message.len(), 2 + 320 + 16 + points.len());
//! assert_eq!(decrypt(&message, Some(&bob))?, points);
//! assert_eq!(decrypt(&message, Some(&carol)), Err(LayerError::Cookie));
//! assert_eq!(decrypt(&message, None), Err(LayerError::NoCookie));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use rand_core::CryptoRngCore;
use sha1::{Digest, Sha1};

use super::Cookie;

const BASIC: u8 = 1;
const STEALTH: u8 = 2;
const IV_LENGTH: usize = 16;
const KEY_LENGTH: usize = 16;
const CLIENT_ID_LENGTH: usize = 4;
const ENTRY_LENGTH: usize = CLIENT_ID_LENGTH + KEY_LENGTH;
/// The number of entries is rounded up to a multiple of this, which hides the number of clients (tor:
/// `REND_BASIC_AUTH_CLIENT_MULTIPLE`).
const BLOCK: usize = 16;
/// The most clients that tor lets a service authorize (`REND_BASIC_AUTH_MAX_CLIENTS`).
pub const MAX_CLIENTS: usize = 512;
/// The beginning of every list of points, by which the right session key is recognized.
pub(super) const BEGINNING: &[u8] = b"introduction-point ";

type Cipher = ctr::Ctr128BE<Aes128>;

/// The introduction points cannot be encrypted or decrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LayerError {
    /// The introduction points are encrypted, and the caller gave no cookie.
    #[error(
        "the introduction points are for authorized clients only: set the backend's `auth` to a cookie of its own"
    )]
    NoCookie,
    /// The message has neither form of encryption, and is not plain text either.
    #[error("the introduction points are neither in the clear nor encrypted in a known way")]
    Form,
    /// The message is shorter than its header requires, or empty.
    #[error("the encrypted introduction points are cut")]
    Cut,
    /// The introduction points are encrypted to other cookies.
    #[error("the introduction points do not open with the cookie: the backend does not know it")]
    Cookie,
    /// The caller gave more cookies than [`MAX_CLIENTS`]; their number.
    #[error("{0} cookies, tor authorizes at most {MAX_CLIENTS} clients")]
    TooManyClients(usize),
}

/// Encrypts to the holders of all `cookies` (tor: `rend_encrypt_v2_intro_points_basic`). Observers and the
/// clients themselves learn their number only to the next multiple of 16. Without a cookie nobody can read
/// the points.
///
/// `rng` gives the session key, the IV and the unused entries: it has to be a cryptographic one. The result
/// is 338 bytes longer than `plaintext` for up to 16 cookies, and 320 more for each further 16.
///
/// # Errors
/// There are more cookies than [`MAX_CLIENTS`].
pub fn encrypt_basic(
    plaintext: &[u8],
    cookies: &[Cookie],
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, LayerError> {
    let too_many = LayerError::TooManyClients(cookies.len());
    if cookies.len() > MAX_CLIENTS {
        return Err(too_many);
    }
    let blocks = cookies.len().div_ceil(BLOCK).max(1);
    let (mut session_key, mut iv) = ([0; KEY_LENGTH], [0; IV_LENGTH]);
    rng.fill_bytes(&mut session_key);
    rng.fill_bytes(&mut iv);
    let mut entries: Vec<[u8; ENTRY_LENGTH]> = Vec::with_capacity(blocks * BLOCK);
    entries.extend(cookies.iter().map(|cookie| entry(cookie, &iv, session_key)));
    while entries.len() < blocks * BLOCK {
        let mut unused = [0; ENTRY_LENGTH];
        rng.fill_bytes(&mut unused);
        entries.push(unused);
    }
    // Unsorted, the real entries would be the first ones.
    entries.sort_unstable();
    let blocks = u8::try_from(blocks).map_err(|_| too_many)?;
    let ciphertext = apply(&session_key, &iv, plaintext);
    Ok([&[BASIC, blocks], entries.as_flattened(), &iv, &ciphertext].concat())
}

/// Encrypts to the one holder of `cookie` as tor does (tor: `rend_encrypt_v2_intro_points_stealth`), which
/// loses the last byte: one of the two line ends after the last point is left. The result is 16 bytes longer
/// than a `plaintext` of at least one byte.
pub fn encrypt_stealth(plaintext: &[u8], cookie: &Cookie, rng: &mut impl CryptoRngCore) -> Vec<u8> {
    let mut iv = [0; IV_LENGTH];
    rng.fill_bytes(&mut iv);
    let kept = plaintext.split_last().map_or(plaintext, |(_, kept)| kept);
    [&[STEALTH][..], &iv, &apply(cookie.secret(), &iv, kept)].concat()
}

/// The plaintext of a descriptor's `introduction-points`, encrypted or not (tor:
/// `rend_decrypt_introduction_points`). The type of `cookie` does not matter. `None` suffices for points that
/// are not encrypted.
///
/// The plaintext is known to begin with `introduction-point `. Nothing else of it is known to be right before
/// the descriptor's signature is verified.
///
/// # Errors
/// - [`LayerError::NoCookie`]: the points are encrypted, and `cookie` is `None`.
/// - [`LayerError::Cookie`]: the points are encrypted to other cookies.
/// - [`LayerError::Form`]: the first byte is neither 1 nor 2.
/// - [`LayerError::Cut`]: the message is shorter than its header requires.
pub fn decrypt(message: &[u8], cookie: Option<&Cookie>) -> Result<Vec<u8>, LayerError> {
    if message.starts_with(BEGINNING) {
        return Ok(message.to_vec());
    }
    let (kind, rest) = message.split_first().ok_or(LayerError::Cut)?;
    let cookie = match (*kind, cookie) {
        (BASIC | STEALTH, Some(cookie)) => cookie,
        (BASIC | STEALTH, None) => return Err(LayerError::NoCookie),
        _ => return Err(LayerError::Form),
    };
    if *kind == BASIC { decrypt_basic(rest, cookie) } else { decrypt_stealth(rest, cookie) }
}

fn decrypt_basic(blob: &[u8], cookie: &Cookie) -> Result<Vec<u8>, LayerError> {
    let (blocks, rest) = blob.split_first().ok_or(LayerError::Cut)?;
    let length = usize::from(*blocks) * BLOCK * ENTRY_LENGTH;
    let (entries, rest) = rest.split_at_checked(length).ok_or(LayerError::Cut)?;
    let (iv, ciphertext) = rest.split_first_chunk::<IV_LENGTH>().ok_or(LayerError::Cut)?;
    let id = client_id(cookie, iv);
    entries
        .chunks_exact(ENTRY_LENGTH)
        .filter_map(|entry| entry.split_first_chunk::<CLIENT_ID_LENGTH>())
        .filter(|(found, _)| **found == id)
        .filter_map(|(_, key)| <[u8; KEY_LENGTH]>::try_from(key).ok())
        // An unused entry may have the same id, so each key is tried until a plaintext begins correctly.
        .map(|key| apply(&session_key(cookie, key), iv, ciphertext))
        .find(|plaintext| plaintext.starts_with(BEGINNING))
        .ok_or(LayerError::Cookie)
}

fn decrypt_stealth(blob: &[u8], cookie: &Cookie) -> Result<Vec<u8>, LayerError> {
    let (iv, ciphertext) = blob.split_first_chunk::<IV_LENGTH>().ok_or(LayerError::Cut)?;
    let plaintext = apply(cookie.secret(), iv, ciphertext);
    if plaintext.starts_with(BEGINNING) { Ok(plaintext) } else { Err(LayerError::Cookie) }
}

/// A client's id, and the session key encrypted to its cookie.
fn entry(cookie: &Cookie, iv: &[u8; IV_LENGTH], key: [u8; KEY_LENGTH]) -> [u8; ENTRY_LENGTH] {
    let mut entry = [0; ENTRY_LENGTH];
    let (id, encrypted) = entry.split_at_mut(CLIENT_ID_LENGTH);
    id.copy_from_slice(&client_id(cookie, iv));
    encrypted.copy_from_slice(&session_key(cookie, key));
    entry
}

/// The first four bytes of H(cookie | IV).
fn client_id(cookie: &Cookie, iv: &[u8; IV_LENGTH]) -> [u8; CLIENT_ID_LENGTH] {
    let digest: [u8; 20] = Sha1::new().chain_update(cookie.secret()).chain_update(iv).finalize().into();
    let [b0, b1, b2, b3, ..] = digest;
    [b0, b1, b2, b3]
}

/// Encrypts the session key to the cookie, or decrypts it: both are the same operation in counter mode.
fn session_key(cookie: &Cookie, mut key: [u8; KEY_LENGTH]) -> [u8; KEY_LENGTH] {
    Cipher::new(cookie.secret().into(), &[0; IV_LENGTH].into()).apply_keystream(&mut key);
    key
}

fn apply(key: &[u8; KEY_LENGTH], iv: &[u8; IV_LENGTH], text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    Cipher::new(key.into(), iv.into()).apply_keystream(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::v2::AuthType;

    const TEXT: &[u8] = b"introduction-point abc\n\n";

    fn cookie(number: u16) -> Cookie {
        let mut bytes = [7; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Cookie::new(bytes, AuthType::Basic)
    }

    fn cookies(count: u16) -> Vec<Cookie> {
        (0..count).map(cookie).collect()
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[test]
    fn each_authorized_client_opens_it_and_no_other() {
        for count in [1, 2, 15, 16, 17, 512] {
            let blob = encrypt_basic(TEXT, &cookies(count), &mut rng()).unwrap();
            let blocks = usize::from(count).div_ceil(16);
            assert_eq!(blob.len(), 2 + blocks * 320 + 16 + TEXT.len());
            assert_eq!(blob[..2], [1, u8::try_from(blocks).unwrap()]);
            for client in 0..count {
                assert_eq!(decrypt(&blob, Some(&cookie(client))).as_deref(), Ok(TEXT), "{client} of {count}");
            }
            assert_eq!(decrypt(&blob, Some(&cookie(count))), Err(LayerError::Cookie));
            assert_eq!(decrypt(&blob, None), Err(LayerError::NoCookie));
        }
        let all = cookies(513);
        assert_eq!(encrypt_basic(TEXT, &all, &mut rng()), Err(LayerError::TooManyClients(513)));
    }

    #[test]
    fn entries_are_sorted_and_unused_ones_open_for_no_client() {
        let blob = encrypt_basic(TEXT, &[], &mut rng()).unwrap();
        let (entries, _) = blob[2..322].as_chunks::<20>();
        assert!(entries.is_sorted());
        assert_eq!(decrypt(&blob, Some(&cookie(0))), Err(LayerError::Cookie));
    }

    #[test]
    fn an_unused_entry_with_the_same_id_is_passed_over() {
        let mut blob = encrypt_basic(TEXT, &cookies(1), &mut rng()).unwrap();
        let iv = blob[322..338].try_into().unwrap();
        let id = client_id(&cookie(0), &iv);
        let real = blob[2..322].as_chunks::<20>().0.iter().position(|entry| entry[..4] == id).unwrap();
        assert!(real > 0, "another seed is wanted");
        blob[2..6].copy_from_slice(&id);
        assert_eq!(decrypt(&blob, Some(&cookie(0))).as_deref(), Ok(TEXT));
    }

    #[test]
    fn stealth_loses_the_last_byte_as_tor_does() {
        let blob = encrypt_stealth(TEXT, &cookie(1), &mut rng());
        assert_eq!(blob.len(), 1 + 16 + TEXT.len() - 1);
        assert_eq!(decrypt(&blob, Some(&cookie(1))).as_deref(), Ok(&TEXT[..TEXT.len() - 1]));
        assert_eq!(decrypt(&blob, Some(&cookie(2))), Err(LayerError::Cookie));
        assert_eq!(decrypt(&blob, None), Err(LayerError::NoCookie));
    }

    #[test]
    fn plain_points_need_no_cookie() {
        for cookie in [None, Some(&cookie(1))] {
            assert_eq!(decrypt(TEXT, cookie).as_deref(), Ok(TEXT));
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let key = cookie(0);
        assert_eq!(decrypt(b"", Some(&key)), Err(LayerError::Cut));
        assert_eq!(decrypt(b"introduction", Some(&key)), Err(LayerError::Form));
        assert_eq!(decrypt(&[3; 500], Some(&key)), Err(LayerError::Form));
        let basic = encrypt_basic(TEXT, &cookies(1), &mut rng()).unwrap();
        let stealth = encrypt_stealth(TEXT, &key, &mut rng());
        for (blob, header) in [(basic, 2 + 320 + 16), (stealth, 1 + 16)] {
            for length in 1..header {
                assert_eq!(decrypt(&blob[..length], Some(&key)), Err(LayerError::Cut), "{length}");
            }
            assert_eq!(decrypt(&blob[..header], Some(&key)), Err(LayerError::Cookie));
        }
    }
}
