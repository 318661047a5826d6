//! The descriptor cookie: the secret that an authorized client and its service share (rend-spec-v2 §2).
//!
//! Tor writes 16 bytes in two text forms:
//!
//! | characters | found in | contents |
//! |---|---|---|
//! | 22 | `hostname` of the service, `HidServAuth` of clients | 128 bits, 4 of type: 0 basic, 1 stealth |
//! | 24, at the end `==` | `client_keys` of the service | 128 bits, 4 that are zero |
//!
//! So the 22nd character is one of `A`, `Q`, `g` and `w` with the type basic and in `client_keys`, and one of
//! `B`, `R`, `h` and `x` with the type stealth.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Deserializer};

use crate::text;

/// The way in which a service authorizes its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthType {
    /// One descriptor for all clients, with its key encrypted to each cookie (rend-spec-v2 §2.1).
    Basic,
    /// A descriptor and an address for each client, at ids that only this client can compute (rend-spec-v2
    /// §2.2).
    Stealth,
}

/// A descriptor cookie of 16 bytes. Its `Debug` form hides them.
///
/// Two cookies are equal only if their types are, too: the two forms of one cookie differ. Compare
/// [`Cookie::secret`] to find out whether they are the same secret. Comparison does not take constant time.
///
/// ```
/// use onionbalance_proto::v2::{AuthType, Cookie};
///
/// let from_hostname: Cookie = "1LWjaYKD5ufodnNvVIZvpB".parse()?;
/// let from_client_keys: Cookie = "1LWjaYKD5ufodnNvVIZvpA==".parse()?;
/// assert_eq!(from_hostname.secret(), from_client_keys.secret());
/// assert_eq!(from_hostname.auth_type(), Some(AuthType::Stealth));
/// assert_eq!(from_client_keys.auth_type(), None);
/// assert_eq!(from_client_keys.hid_serv_auth(AuthType::Stealth), "1LWjaYKD5ufodnNvVIZvpB");
/// assert_eq!(format!("{from_hostname:?}"), "Cookie(Some(Stealth), [scrubbed])");
/// # Ok::<(), onionbalance_proto::v2::cookie::CookieError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Cookie {
    bytes: [u8; 16],
    auth_type: Option<AuthType>,
}

/// The text is not a descriptor cookie. The message does not repeat the text: it may be a secret with one
/// letter mistyped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CookieError {
    /// The text has neither 22 nor 24 bytes.
    #[error(
        "a descriptor cookie has 22 characters, or 24 with == at the end: copy it from the backend's hostname or \
         client_keys file"
    )]
    Length,
    /// The text is not base64, or has 24 bytes and does not end in `==`.
    #[error("a descriptor cookie is written in base64: A-Z, a-z, 0-9, + and /")]
    Alphabet,
    /// The low four bits of the 22nd character are not the number of a type.
    #[error("the descriptor cookie has an unknown type: its last character was mistyped")]
    Type,
}

impl Cookie {
    /// The cookie with these bytes, for this kind of authorization.
    pub fn new(bytes: [u8; 16], auth_type: AuthType) -> Self {
        Self { bytes, auth_type: Some(auth_type) }
    }

    /// The 16 bytes that are the secret.
    pub fn secret(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The kind of authorization that the cookie is for. `None`: it was read from a line of `client_keys` (24
    /// characters), which does not contain the kind.
    pub fn auth_type(&self) -> Option<AuthType> {
        self.auth_type
    }

    /// The 22 characters that `HidServAuth` takes for this kind of authorization (tor:
    /// `rend_auth_encode_cookie`).
    pub fn hid_serv_auth(&self, auth_type: AuthType) -> String {
        let auth_type = match auth_type {
            AuthType::Basic => 0,
            AuthType::Stealth => 1,
        };
        let mut extended = [0; 17];
        let (bytes, last) = extended.split_at_mut(16);
        bytes.copy_from_slice(&self.bytes);
        last.fill(auth_type << 4);
        let mut text = BASE64_NOPAD.encode(&extended);
        // 16 bytes and 4 bits are 22 characters; the 23rd holds no bits of the cookie.
        text.truncate(22);
        text
    }
}

impl FromStr for Cookie {
    type Err = CookieError;

    /// Reads both forms: the 22 characters of `hostname` and `HidServAuth`, in which the last four bits are
    /// the type, and the 24 characters of `client_keys` (tor: `rend_auth_decode_cookie`).
    ///
    /// # Errors
    /// The text has another length, is not base64, or has an unknown type.
    fn from_str(text: &str) -> Result<Self, CookieError> {
        let (text, typed) = match text.len() {
            24 => (text.strip_suffix("==").ok_or(CookieError::Alphabet)?, false),
            _ => (text, true),
        };
        if text.len() != 22 {
            return Err(CookieError::Length);
        }
        // Two more characters complete the last group of four, which makes three bytes; `A` is six zero bits.
        let mut extended = BASE64_NOPAD
            .decode([text.as_bytes(), b"AA"].concat().as_slice())
            .map_err(|_| CookieError::Alphabet)?;
        extended.truncate(17);
        let [bytes @ .., last] = <[u8; 17]>::try_from(extended).map_err(|_| CookieError::Length)?;
        let auth_type = match last >> 4 {
            0 => AuthType::Basic,
            1 => AuthType::Stealth,
            _ => return Err(CookieError::Type),
        };
        Ok(Self { bytes, auth_type: typed.then_some(auth_type) })
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({:?}, [scrubbed])", self.auth_type)
    }
}

impl<'de> Deserialize<'de> for Cookie {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a descriptor cookie")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<(Vec<u8>, Option<AuthType>), CookieError> {
        text.parse::<Cookie>().map(|cookie| (cookie.bytes.to_vec(), cookie.auth_type))
    }

    #[test]
    fn reads_tors_vectors() {
        let secret = b"abcdefghijklmnop".to_vec();
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcA"), Ok((secret.clone(), Some(AuthType::Basic))));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcA=="), Ok((secret.clone(), None)));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcB"), Ok((secret, Some(AuthType::Stealth))));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcD"), Err(CookieError::Type));
    }

    #[test]
    fn reads_what_tor_writes_beside_its_keys() {
        // `hostname` and `client_keys` of alice and bob, of carol and dave.
        for (hostname, keys, auth_type) in [
            ("TRTUFLcJe7zonSx/Ben5Sg", "TRTUFLcJe7zonSx/Ben5Sg==", AuthType::Basic),
            ("5d2e0u1K41rdlW3j6lkOiw", "5d2e0u1K41rdlW3j6lkOiw==", AuthType::Basic),
            ("1LWjaYKD5ufodnNvVIZvpB", "1LWjaYKD5ufodnNvVIZvpA==", AuthType::Stealth),
            ("BsDvQDEX56DEI7H6BYFwVh", "BsDvQDEX56DEI7H6BYFwVg==", AuthType::Stealth),
        ] {
            let [typed, untyped] = [hostname, keys].map(|text| text.parse::<Cookie>().unwrap());
            assert_eq!(typed.secret(), untyped.secret());
            assert_eq!((typed.auth_type(), untyped.auth_type()), (Some(auth_type), None));
            assert_eq!(untyped.hid_serv_auth(auth_type), hostname);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(parse(""), Err(CookieError::Length));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vc"), Err(CookieError::Length));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcA="), Err(CookieError::Length));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5vcA=A"), Err(CookieError::Alphabet));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5v=A"), Err(CookieError::Alphabet));
        assert_eq!(parse("YWJjZGVmZ2hpamtsbW5-cA"), Err(CookieError::Alphabet));
    }

    #[test]
    fn the_secret_is_never_shown() {
        let cookie = Cookie::new([0x41; 16], AuthType::Basic);
        assert_eq!(format!("{cookie:?}"), "Cookie(Some(Basic), [scrubbed])");
    }

    proptest! {
        #[test]
        fn text_comes_back(bytes in any::<[u8; 16]>(), stealth in any::<bool>()) {
            let auth_type = if stealth { AuthType::Stealth } else { AuthType::Basic };
            let cookie = Cookie::new(bytes, auth_type);
            prop_assert_eq!(cookie.hid_serv_auth(auth_type).len(), 22);
            prop_assert_eq!(cookie.hid_serv_auth(auth_type).parse(), Ok(cookie));
        }

        #[test]
        fn arbitrary_text_is_survived(text in any::<String>(), base64 in "[A-Za-z0-9+/=]{20,26}") {
            let _ = text.parse::<Cookie>();
            let _ = base64.parse::<Cookie>();
        }
    }
}
