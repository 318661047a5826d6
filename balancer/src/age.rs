//! Lengths of time in words.

use std::fmt;
use std::time::Duration;

/// A length of time in at most two units: `9 s`, `2 min 9 s`, `21 min`, `3 h 4 min`, `3 d 4 h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Age(pub Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, 1..10) => two(f, (minutes, "min"), (seconds % 60, "s")),
            (0, 0, _) => write!(f, "{minutes} min"),
            (0, _, _) => two(f, (hours, "h"), (minutes % 60, "min")),
            _ => two(f, (days, "d"), (hours % 24, "h")),
        }
    }
}

/// A length of time in its largest unit: `9 s`, `2 min`, `3 h`, `3 d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoughAge(pub Duration);

impl fmt::Display for RoughAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (number, unit) = match seconds {
            0..60 => (seconds, "s"),
            60..3600 => (seconds / 60, "min"),
            3600..86400 => (seconds / 3600, "h"),
            _ => (seconds / 86400, "d"),
        };
        write!(f, "{number} {unit}")
    }
}

fn two(
    f: &mut fmt::Formatter<'_>,
    (large, unit): (u64, &str),
    (small, small_unit): (u64, &str),
) -> fmt::Result {
    write!(f, "{large} {unit}")?;
    if small > 0 { write!(f, " {small} {small_unit}") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_at_most_two_units() {
        for (seconds, wanted) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (129, "2 min 9 s"),
            (21 * 60 + 9, "21 min"),
            (3600, "1 h"),
            (3 * 3600 + 4 * 60 + 5, "3 h 4 min"),
            (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
            (86400 * 30, "30 d"),
        ] {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), wanted);
        }
    }

    #[test]
    fn a_rough_age_has_one_unit() {
        for (seconds, wanted) in
            [(59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600 * 23, "23 h"), (86400 * 30, "30 d")]
        {
            assert_eq!(RoughAge(Duration::from_secs(seconds)).to_string(), wanted);
        }
    }
}
