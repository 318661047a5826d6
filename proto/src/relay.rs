//! The names of relays.
//!
//! Consensuses, descriptors and tor's control port name a relay by the SHA-1 digest of its RSA identity key.
//! Version 3 of onion services also uses its ed25519 identity, which stays inside of
//! [`LinkSpecifiers`](crate::v3::LinkSpecifiers) here.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXUPPER, HEXUPPER_PERMISSIVE};

/// A relay's RSA identity digest, 20 bytes, which tor's control port calls its fingerprint.
///
/// Its text form has 40 hexadecimal digits in upper case, without the `$` that tor's own texts have.
///
/// ```
/// use onionbalance_proto::relay::Fingerprint;
///
/// let relay: Fingerprint = "$585877b6c8cf05f7dfc9611c32bb2f0a9603ed61~nickname".parse()?;
/// assert_eq!(relay.0[..4], [0x58, 0x58, 0x77, 0xB6]);
/// assert_eq!(relay.to_string(), "585877B6C8CF05F7DFC9611C32BB2F0A9603ED61");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(pub [u8; 20]);

/// The text is not 40 hexadecimal digits, after an optional `$` and before an optional nickname.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a relay's fingerprint has 40 hexadecimal digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads the forms of control-spec's `LongName`: `FP`, `$FP`, `$FP~nickname` and `$FP=nickname`. `FP` is
    /// 40 hexadecimal digits in either case. The nickname is ignored, and its characters are not checked.
    ///
    /// # Errors
    /// There are more or fewer than 40 digits, or another character is among them.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.strip_prefix('$').unwrap_or(text);
        let digits = text.split(['~', '=']).next().unwrap_or(text);
        let bytes = HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| FingerprintError)?;
        Ok(Self(bytes.try_into().map_err(|_| FingerprintError)?))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXUPPER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_tor_writes() {
        let fingerprint = Fingerprint([0xAB; 20]);
        let digits = fingerprint.to_string();
        for text in [digits.clone(), format!("${digits}"), format!("${digits}~nick"), digits.to_lowercase()] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
        for text in ["", "$", "AB", "ABABABABABABABABABABABABABABABABABABABAZ"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }
}
