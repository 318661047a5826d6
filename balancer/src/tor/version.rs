//! tor's version numbers (version-spec, "The new way").

use std::fmt;
use std::str::FromStr;

/// MAJOR.MINOR.MICRO.PATCHLEVEL. A suffix such as `-alpha` or `(git-…)` does not matter for the order here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TorVersion(pub [u16; 4]);

/// The reason for which a tor cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unsuitable {
    /// Tor is too old: a needed feature came later.
    #[error("this tor is {found}; version {oldest} or newer is needed for {what}")]
    TooOld {
        /// The version of the tor.
        found: TorVersion,
        /// The first version that has the feature.
        oldest: TorVersion,
        /// The feature, for the message.
        what: &'static str,
    },
    /// Tor no longer has version 2, and would never answer an HSPOST of it.
    #[error(
        "this tor is {found}, which has no v2 onion services any more: 0.4.5.10 and 0.3.5.16 are the last that have \
         them; name the control port of such a tor with `tor:` at the service, or with -s, or with -i and -p"
    )]
    NoV2 {
        /// The version of the tor.
        found: TorVersion,
    },
}

/// The oldest tor that is known to work for version 3: the first with congestion control and layer-two guards
/// for all services.
pub(super) const OLDEST_FOR_V3: TorVersion = TorVersion([0, 4, 7, 0]);
/// The first tor with HSFETCH, HSPOST and `HS_DESC_CONTENT`.
pub(super) const OLDEST_FOR_V2: TorVersion = TorVersion([0, 2, 7, 1]);

impl TorVersion {
    /// Checks that this tor can balance version 3 services.
    ///
    /// # Errors
    /// The tor is older than 0.4.7.0.
    pub fn check_v3(self) -> Result<(), Unsuitable> {
        self.check_age(OLDEST_FOR_V3, "v3 onion services")
    }

    /// Checks that this tor can balance version 2 services, which all series lost in October 2021.
    ///
    /// # Errors
    /// The tor is older than 0.2.7.1, or has no version 2.
    pub fn check_v2(self) -> Result<(), Unsuitable> {
        self.check_age(OLDEST_FOR_V2, "v2 onion services")?;
        let lost = match self.0 {
            [0, 3, 5, patch] => patch >= 17,
            [0, 4, 5, patch] => patch >= 11,
            series => series >= [0, 4, 6, 0],
        };
        if lost { Err(Unsuitable::NoV2 { found: self }) } else { Ok(()) }
    }

    /// True if `HSFETCH v2-ID` works, which it does not in some versions with the first new parser of
    /// commands (tor's ticket 34400).
    pub fn fetches_v2_by_id(self) -> bool {
        match self.0 {
            [0, 4, 1 | 2, _] => false,
            [0, 4, 3, patch] => patch >= 7,
            [0, 4, 4, patch] => patch >= 6,
            _ => true,
        }
    }

    fn check_age(self, oldest: Self, what: &'static str) -> Result<(), Unsuitable> {
        if self < oldest { Err(Unsuitable::TooOld { found: self, oldest, what }) } else { Ok(()) }
    }
}

/// The text is not a version of tor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a version number of tor")]
pub struct VersionError(String);

impl FromStr for TorVersion {
    type Err = VersionError;

    /// Parses the version in the form of `PROTOCOLINFO` and `GETINFO version`, such as `0.4.9.11
    /// (git-0123456789abcdef)`.
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
    fn knows_which_tors_have_version_2() {
        for has in ["0.2.7.1-alpha", "0.3.5.16", "0.4.1.9", "0.4.4.9", "0.4.5.9", "0.4.5.10"] {
            assert_eq!(version(has).check_v2(), Ok(()), "{has}");
        }
        for lost in ["0.3.5.17", "0.4.5.11", "0.4.6.1-alpha", "0.4.6.8", "0.4.9.11", "1.0.0"] {
            assert_eq!(version(lost).check_v2(), Err(Unsuitable::NoV2 { found: version(lost) }), "{lost}");
        }
        assert!(matches!(version("0.2.6.10").check_v2(), Err(Unsuitable::TooOld { .. })));
    }

    #[test]
    fn knows_which_tors_fetch_version_2_by_id() {
        for able in ["0.3.5.16", "0.4.0.5", "0.4.3.7", "0.4.4.6", "0.4.5.9"] {
            assert!(version(able).fetches_v2_by_id(), "{able}");
        }
        for unable in ["0.4.1.9", "0.4.2.8", "0.4.3.6", "0.4.4.5"] {
            assert!(!version(unable).fetches_v2_by_id(), "{unable}");
        }
    }

    #[test]
    fn version_3_wants_a_younger_tor() {
        assert_eq!(version("0.4.7.1-alpha").check_v3(), Ok(()));
        let error = version("0.4.5.10").check_v3().unwrap_err();
        assert_eq!(
            error.to_string(),
            "this tor is 0.4.5.10; version 0.4.7.0 or newer is needed for v3 onion services"
        );
    }

    #[test]
    fn orders_by_number() {
        assert!(version("0.4.9.11") > version("0.4.9.9"));
        assert!(version("0.4.10.1") > version("0.4.9.11"));
        assert!(version("0.4.6.12") < version("0.4.7.1-alpha"));
    }
}
