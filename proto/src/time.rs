//! Wall-clock time as Tor documents carry it.
//!
//! This crate reads no clock: a moment is an argument of each function that needs one. `onionbalance-process`
//! reads the programs' clocks. Arithmetic saturates, because times come from documents of strangers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 00:00:00 UTC, without leap seconds. On the wire it is a number of 8 bytes.
///
/// ```
/// use onionbalance_proto::time::UnixTime;
///
/// let published: UnixTime = "2015-06-25 13:13:25".parse()?;
/// assert_eq!(published, UnixTime(1_435_238_005));
/// assert_eq!(published.plus(35).to_string(), "2015-06-25 13:14:00");
/// assert_eq!(published.rfc3339(), "2015-06-25T13:13:25Z");
/// // A clock that is behind the document's makes an age of 0, and no error.
/// assert_eq!(UnixTime(1_435_237_000).since(published), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The number of whole minutes since the epoch, by which version 3 counts time periods.
    pub fn minutes(self) -> u64 {
        self.0 / 60
    }

    /// The number of whole hours since the epoch, by which certificates expire.
    pub fn hours(self) -> u64 {
        self.0 / 3600
    }

    /// This moment plus `seconds`; `u64::MAX` where that would overflow.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This moment minus `seconds`; the epoch where that would be before it.
    #[must_use]
    pub fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// As `YYYY-MM-DDTHH:MM:SSZ` (RFC 3339), UTC. A year above 9999 has more than four digits.
    pub fn rfc3339(self) -> String {
        self.to_string().replace(' ', "T") + "Z"
    }

    /// Seconds from `earlier` to this moment; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The text is not `YYYY-MM-DD HH:MM:SS`, or the time is before 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a time of the form YYYY-MM-DD HH:MM:SS")]
pub struct TimeError;

/// Days from 0000-03-01 to 1970-01-01. Years that begin in March put the leap day last, so that every month
/// begins on the same day of its year.
const EPOCH: u64 = 719_468;
/// Days in four centuries.
const ERA: u64 = 146_097;

impl FromStr for UnixTime {
    type Err = TimeError;

    /// Reads `YYYY-MM-DD HH:MM:SS`, UTC (dir-spec): 19 characters, one space, no fraction of a second.
    ///
    /// # Errors
    /// The text has another form, the date or the time of day does not exist, or the year is before 1970. The
    /// second 60 of a leap second does not exist either.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let (date, time) = text.split_once(' ').ok_or(TimeError)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or(TimeError)?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or(TimeError)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(TimeError),
        };
        if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError);
        }
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let day_of_year = (153 * month + 2) / 5 + day - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - EPOCH;
        Ok(Self(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

/// As `YYYY-MM-DD HH:MM:SS`, UTC, the form that [`FromStr`] reads.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / 86_400 + EPOCH;
        let (era, day) = (days / ERA, days % ERA);
        let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = (era * 400 + year, month + 3);
        let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Three decimal numbers of exactly so many digits; `None` for any other text.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut fields = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let field = fields.next()?;
        if field.len() != digits || !field.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = field.parse().ok()?;
    }
    fields.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<UnixTime> {
        text.parse().ok()
    }

    #[test]
    fn counts_every_day_of_four_centuries() {
        let mut days = 0;
        for year in 1970..2370 {
            let leap = (year % 4 == 0) ^ (year % 100 == 0) ^ (year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            for (month, length) in
                [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate()
            {
                for day in 1..=length {
                    let text = format!("{year}-{:02}-{day:02} 00:00:00", month + 1);
                    assert_eq!(utc(&text), Some(UnixTime(days * 86_400)), "{text}");
                    assert_eq!(UnixTime(days * 86_400).to_string(), text);
                    days += 1;
                }
                for day in [0, length + 1] {
                    assert_eq!(utc(&format!("{year}-{:02}-{day:02} 00:00:00", month + 1)), None);
                }
            }
        }
    }

    #[test]
    fn counts_every_second_of_a_day() {
        let midnight = utc("2016-02-29 00:00:00").unwrap();
        for second in 0..86_400 {
            let text = format!("2016-02-29 {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
            assert_eq!(utc(&text), Some(midnight.plus(second)), "{text}");
            assert_eq!(midnight.plus(second).to_string(), text);
        }
        assert_eq!(utc("9999-12-31 23:59:59"), Some(UnixTime(253_402_300_799)));
        assert_eq!(UnixTime(253_402_300_799).rfc3339(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22 08:28",
            "2026-11-22 08:28:00 ",
            "2026-11-22 08:28:00:00",
            "2026-11-22T08:28:00",
            "2026-11-22  08:28:00",
            "2026-13-01 00:00:00",
            "2026-00-01 00:00:00",
            "2026-11-22 24:00:00",
            "2026-11-22 00:60:00",
            "2026-11-22 00:00:60",
            "1969-12-31 23:59:59",
            "+026-11-22 08:28:00",
            "02026-11-22 08:28:00",
            "2026-1-022 08:28:00",
            "２026-11-22 08:28:00",
        ] {
            assert_eq!(utc(text), None, "{text:?}");
        }
    }
}
