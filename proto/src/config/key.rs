//! The top-level keys of the file.

use std::fmt;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, Visitor};

use super::historic::HistoricKey;
use super::wording::similar;
use super::{METRICS_LISTEN, TOR_SOCKS};

/// A top-level key.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Key {
    Services,
    StatusSocket,
    StatusSocketGroup,
    StatusSocketMode,
    ControlSocket,
    MetricsListen,
    StateFile,
    SignerSocket,
    SignerAllowedUids,
    SignerAllowLockedMemory,
    SignerAllowReadableKeys,
    SignerRequestsPerMinute,
    SignerUser,
    User,
    Tor,
    TorSocks,
    TorRestartHint,
    ControlPassword,
    LogAddresses,
    Historic(HistoricKey),
}

/// The keys with their names, besides the historic ones. `TOR_CONTROL_PASSWORD` is 0.1.8's name of the
/// password.
const KEYS: [(&str, Key); 20] = [
    ("services", Key::Services),
    ("status-socket-location", Key::StatusSocket),
    ("status-socket-group", Key::StatusSocketGroup),
    ("status-socket-mode", Key::StatusSocketMode),
    ("control-socket-location", Key::ControlSocket),
    (METRICS_LISTEN, Key::MetricsListen),
    ("state-file-location", Key::StateFile),
    ("user", Key::User),
    ("signer-socket-location", Key::SignerSocket),
    ("signer-user", Key::SignerUser),
    ("signer-allowed-uids", Key::SignerAllowedUids),
    ("signer-requests-per-minute", Key::SignerRequestsPerMinute),
    ("signer-allow-locked-memory", Key::SignerAllowLockedMemory),
    ("signer-allow-readable-keys", Key::SignerAllowReadableKeys),
    ("tor", Key::Tor),
    ("tor-control-password", Key::ControlPassword),
    (TOR_SOCKS, Key::TorSocks),
    ("tor-restart-hint", Key::TorRestartHint),
    ("LOG_ADDRESSES", Key::LogAddresses),
    ("TOR_CONTROL_PASSWORD", Key::ControlPassword),
];

impl FromStr for Key {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, String> {
        let own = KEYS.iter().find(|(name, _)| *name == key).map(|(_, key)| *key);
        own.or_else(|| HistoricKey::named(key).map(Self::Historic)).ok_or_else(|| unknown(key))
    }
}

fn unknown(key: &str) -> String {
    let names = || KEYS.iter().map(|(name, _)| *name);
    if let Some(name) = similar(key, names().chain(HistoricKey::names())) {
        return format!("unknown key `{key}`: did you mean `{name}`?");
    }
    let names: Vec<&str> = names().filter(|name| *name != "TOR_CONTROL_PASSWORD").collect();
    format!("unknown key `{key}`: known are {}, and those of Onionbalance up to 0.1.8", names.join(", "))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const MANUAL: &str = include_str!("../../../packaging/man/onionbalance.yaml.5");

    /// The keys that the error for an unknown one lists.
    fn known_in(yaml: &str) -> Vec<String> {
        let error = super::super::Config::parse(yaml, Path::new("config.yaml")).unwrap_err().to_string();
        let (_, known) = error.split_once("known are ").unwrap_or_else(|| panic!("{error}"));
        known.split(", ").map(str::to_owned).collect()
    }

    /// The words in bold that head an entry, and those of the list of keys without effect.
    fn explained() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut before = "";
        for line in MANUAL.lines() {
            let is_listed = line.starts_with(".BR REPLICAS") || line.starts_with(".BR DESCRIPTOR_");
            if before == ".TP" || is_listed {
                let words = line.strip_prefix(".BR").or_else(|| line.strip_prefix(".B")).unwrap_or_default();
                let words = words.replace("\\-", "-");
                let words = words.split([' ', ',', '.', '"']).filter(|word| !word.is_empty());
                names.extend(words.map(str::to_owned));
            }
            before = line;
        }
        names
    }

    #[test]
    fn the_manual_page_explains_exactly_the_keys_that_there_are() {
        let own = KEYS.iter().map(|(name, _)| *name).chain(HistoricKey::names()).map(str::to_owned);
        let of_services = known_in("services: [{qqqqqqqq: 1}]");
        let of_instances = known_in("services: [{key: k, instances: [{qqqqqqqq: 1}]}]");
        let of_checks = known_in("services: [{key: k, health-check: {qqqqqqqq: 1}}]");
        let known: BTreeSet<String> = own.chain(of_services).chain(of_instances).chain(of_checks).collect();
        assert_eq!(explained(), known);
    }
}
