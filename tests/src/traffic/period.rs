//! The time period of a client, which its consensus determines.

use anyhow::{Context, Result};

use crate::network::Client;

/// Counts the time periods of a day by the rule of testing networks: one is 24 voting intervals long, and the
/// first begins half of that after midnight (tor: `get_time_period_length`, `hs_get_time_period_num`).
pub(super) fn time_period(client: &Client) -> Result<i64> {
    let mut control = client.control()?;
    let mut time = |which| seconds_of_day(&control.getinfo(&format!("consensus/{which}"))?);
    Ok(period_at(time("valid-after")?, time("fresh-until")?))
}

/// `YYYY-MM-DD HH:MM:SS` without the date.
fn seconds_of_day(time: &str) -> Result<i64> {
    let numbers = time.rsplit([' ', 'T']).next().unwrap_or(time).split(':').map(str::parse::<i64>);
    match numbers.collect::<Result<Vec<_>, _>>()?.as_slice() {
        [hours, minutes, seconds] => Some((hours * 60 + minutes) * 60 + seconds),
        _ => None,
    }
    .with_context(|| format!("{time} is no time"))
}

fn period_at(valid_after: i64, fresh_until: i64) -> i64 {
    let voting_interval = (fresh_until - valid_after).rem_euclid(DAY).max(1);
    (valid_after - 12 * voting_interval).div_euclid(24 * voting_interval)
}

const DAY: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn period(valid_after: &str, fresh_until: &str) -> i64 {
        period_at(seconds_of_day(valid_after).unwrap(), seconds_of_day(fresh_until).unwrap())
    }

    #[test]
    fn one_begins_three_minutes_after_the_hour_and_every_six() {
        let before = period("2026-11-24 14:02:45", "2026-11-24 14:03:00");
        assert_eq!(period("2026-11-24 14:03:00", "2026-11-24 14:03:15"), before + 1);
        assert_eq!(period("2026-11-24 14:08:45", "2026-11-24 14:09:00"), before + 1);
        assert_eq!(period("2026-11-24 23:59:45", "2026-11-25 00:00:00"), 239);
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["", "2026-11-24", "14:03", "a:b:c"] {
            seconds_of_day(text).unwrap_err();
        }
    }
}
