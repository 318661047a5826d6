//! The names of relays.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXUPPER, HEXUPPER_PERMISSIVE};

/// A relay's RSA identity digest, 20 bytes, which tor's control port calls its fingerprint.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(pub [u8; 20]);

/// The text is not 40 hexadecimal digits, optionally after a `$`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a relay's fingerprint has 40 hexadecimal digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads the forms of control-spec's `LongName`: `FP`, `$FP`, `$FP~nickname` and `$FP=nickname`. Fails
    /// for any other text.
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
