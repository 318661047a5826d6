//! tor's version numbers (version-spec, "The new way").

use std::fmt;
use std::str::FromStr;

/// MAJOR.MINOR.MICRO.PATCHLEVEL. What follows, as `-alpha` or `(git-…)`, orders nothing that matters here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TorVersion(pub [u16; 4]);

/// Not a version of tor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no version number of tor")]
pub struct VersionError(String);

impl FromStr for TorVersion {
    type Err = VersionError;

    /// Takes what `PROTOCOLINFO` and `GETINFO version` say, such as `0.4.9.11 (git-0123456789abcdef)`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(40).collect());
        let numbers = text.split([' ', '-']).next().unwrap_or_default();
        let numbers: Result<Vec<u16>, _> = numbers.split('.').map(str::parse).collect();
        Ok(Self(match *numbers.map_err(|_| error())? {
            [major, minor, micro] => [major, minor, micro, 0],
            [major, minor, micro, patch] => [major, minor, micro, patch],
            _ => return Err(error()),
        }))
    }
}

impl fmt::Display for TorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, micro, patch]) = self;
        write!(f, "{major}.{minor}.{micro}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> TorVersion {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_tor_says() {
        assert_eq!(version("0.4.9.11"), TorVersion([0, 4, 9, 11]));
        assert_eq!(version("0.4.9.11 (git-0123456789abcdef)"), TorVersion([0, 4, 9, 11]));
        assert_eq!(version("0.4.7.1-alpha-dev (git-01)"), TorVersion([0, 4, 7, 1]));
        assert_eq!(version("0.4.7"), TorVersion([0, 4, 7, 0]));
        for text in ["", "0.4", "0.4.7.x", "0.4.7.1.1", "0.4.7.99999", "Tor 0.4.7.1"] {
            assert!(text.parse::<TorVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn orders_by_number() {
        assert!(version("0.4.9.11") > version("0.4.9.9"));
        assert!(version("0.4.10.1") > version("0.4.9.11"));
        assert!(version("0.4.6.12") < version("0.4.7.1-alpha"));
    }
}
