//! The top-level keys of the file.

use std::fmt;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, Visitor};

use super::historic::HistoricKey;

/// A top-level key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Key {
    Services,
    StatusSocket,
    StateFile,
    SignerSocket,
    SignerAllowedUids,
    SignerAllowLockedMemory,
    SignerAllowReadableKeys,
    SignerRequestsPerMinute,
    SignerUser,
    User,
    Tor,
    TorRestartHint,
    ControlPassword,
    Historic(HistoricKey),
}

impl FromStr for Key {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, String> {
        Ok(match key {
            "services" => Self::Services,
            "status-socket-location" => Self::StatusSocket,
            "state-file-location" => Self::StateFile,
            "signer-socket-location" => Self::SignerSocket,
            "signer-allowed-uids" => Self::SignerAllowedUids,
            "signer-allow-locked-memory" => Self::SignerAllowLockedMemory,
            "signer-allow-readable-keys" => Self::SignerAllowReadableKeys,
            "signer-user" => Self::SignerUser,
            "user" => Self::User,
            "signer-requests-per-minute" => Self::SignerRequestsPerMinute,
            "tor" => Self::Tor,
            "tor-restart-hint" => Self::TorRestartHint,
            "tor-control-password" | "TOR_CONTROL_PASSWORD" => Self::ControlPassword,
            key => Self::Historic(HistoricKey::named(key).ok_or_else(|| {
                format!(
                    "unknown key `{key}`: known are services, status-socket-location, state-file-location, \
                     user, signer-socket-location, signer-user, signer-allowed-uids, signer-requests-per-minute, \
                     signer-allow-locked-memory, signer-allow-readable-keys, tor, tor-control-password, tor-restart-hint, and \
                     those of Onionbalance up to 0.1.8"
                )
            })?),
        })
    }
}

/// Reads a key, with its text as it is written. Fails for an unknown key, and for one that is already set: of
/// two lists of services, one would be lost silently.
pub(super) struct NewKey<'a> {
    pub(super) seen: &'a [Key],
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = (Key, String);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = (Key, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let key = text.parse().map_err(E::custom)?;
        if self.seen.contains(&key) {
            return Err(E::custom(format_args!("`{text}` is set a second time: remove one of the two")));
        }
        Ok((key, text.to_owned()))
    }
}
