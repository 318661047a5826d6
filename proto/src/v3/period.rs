//! Time periods: the spans in which a service has one blinded key (rend-spec-v3 \[TIME-PERIODS\]).
//!
//! ```text
//! number = (minutes since the epoch - offset) / length     rounded down
//! ```
//!
//! All services have the same periods, unlike version-2 services. The length is a parameter of the consensus,
//! and the offset is twelve voting intervals:
//!
//! | network | length | offset | beginning |
//! |---|---|---|---|
//! | public | 1440 minutes | 720 minutes | 12:00 UTC |
//! | testing, votes every 20 seconds | 8 minutes | 4 minutes | every 8 minutes |

use serde::{Deserialize, Serialize};

use crate::time::UnixTime;

/// The length of a time period in minutes, within the bounds of the consensus parameter `hsdir_interval`: 5
/// to 14400. On the wire it is a number of 2 bytes.
///
/// ```
/// use onionbalance_proto::v3::PeriodLength;
///
/// assert_eq!(PeriodLength::try_from(1440)?, PeriodLength::DAY);
/// assert_eq!(PeriodLength::DAY.seconds(), 86_400);
/// assert!(PeriodLength::try_from(4).is_err());
/// # Ok::<(), onionbalance_proto::v3::period::PeriodLengthError>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PeriodLength(u16);

/// The length is outside 5 to 14400 minutes; the length.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a time period of {0} minutes: tor allows 5 to 14400")]
pub struct PeriodLengthError(u16);

impl PeriodLength {
    /// A day, as on the public network.
    pub const DAY: Self = Self(1440);

    /// The length in minutes.
    pub fn minutes(self) -> u64 {
        u64::from(self.0)
    }

    /// The length in seconds.
    pub fn seconds(self) -> u64 {
        self.minutes() * 60
    }
}

impl TryFrom<u16> for PeriodLength {
    type Error = PeriodLengthError;

    /// The length of this number of minutes.
    ///
    /// # Errors
    /// The number is outside 5 to 14400.
    fn try_from(minutes: u16) -> Result<Self, PeriodLengthError> {
        if (5..=14400).contains(&minutes) { Ok(Self(minutes)) } else { Err(PeriodLengthError(minutes)) }
    }
}

impl From<PeriodLength> for u16 {
    fn from(length: PeriodLength) -> u16 {
        length.0
    }
}

/// One time period: the `number`-th of this `length` since the epoch, counted from 0.
///
/// The offset is not part of it, because it does not go into the blinded key.
///
/// ```
/// use onionbalance_proto::time::UnixTime;
/// use onionbalance_proto::v3::{PeriodLength, TimePeriod};
///
/// let eleven: UnixTime = "2016-04-13 11:00:00".parse()?;
/// let period = TimePeriod::at(eleven, PeriodLength::DAY, 720);
/// assert_eq!(period.number, 16_903);
/// assert_eq!(period.start(720).to_string(), "2016-04-12 12:00:00");
/// assert_eq!(period.next().start(720), eleven.plus(3600));
/// # Ok::<(), onionbalance_proto::time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TimePeriod {
    /// The length of each period.
    pub length: PeriodLength,
    /// The number of periods before this one.
    pub number: u64,
}

impl TimePeriod {
    /// The period that contains `moment`. Periods begin `offset_minutes` after a multiple of their length.
    /// The offset is twelve voting intervals, so that a period begins half-way between two shared random
    /// values. Moments before the first period are in it.
    pub fn at(moment: UnixTime, length: PeriodLength, offset_minutes: u64) -> Self {
        let number = moment.minutes().saturating_sub(offset_minutes) / length.minutes();
        Self { length, number }
    }

    /// The period after this one, of the same length.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    /// The period before this one; the first one, 0, is its own previous.
    #[must_use]
    pub fn previous(self) -> Self {
        Self { number: self.number.saturating_sub(1), ..self }
    }

    /// The beginning of this period, with the same offset as in [`TimePeriod::at`]. The end is the beginning
    /// of [`TimePeriod::next`].
    pub fn start(self, offset_minutes: u64) -> UnixTime {
        let minutes = self.number.saturating_mul(self.length.minutes()).saturating_add(offset_minutes);
        UnixTime(minutes.saturating_mul(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tors_test_time_period() {
        // C tor, test_hs_common.c: 2016-04-13 11:00 UTC is in period 16903, 12:00 begins 16904.
        let day = PeriodLength::try_from(1440).unwrap();
        let eleven = UnixTime(1_460_545_200);
        assert_eq!(TimePeriod::at(eleven, day, 720).number, 16903);
        assert_eq!(TimePeriod::at(eleven.plus(3599), day, 720).number, 16903);
        assert_eq!(TimePeriod::at(eleven.plus(3600), day, 720).number, 16904);
        assert_eq!(TimePeriod::at(eleven, day, 720).next().start(720), eleven.plus(3600));
    }

    #[test]
    fn length_has_the_bounds_of_the_consensus_parameter() {
        for (minutes, allowed) in [(4, false), (5, true), (14400, true), (14401, false)] {
            assert_eq!(PeriodLength::try_from(minutes).is_ok(), allowed, "{minutes}");
        }
    }
}
