//! The clock, by the consensus that tor has.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

use super::row::{Row, Verdict};
use crate::age::Age;
use crate::tor::documents::consensus::Lifetime;

/// The deviation of a clock that does not matter, in seconds.
const TOLERANCE: u64 = 60;

/// Judges the clock of this machine and the age of tor's consensus, each by the other: one of the two is
/// wrong if `now` is not within the consensus's lifetime.
pub(super) fn judge(lifetime: &Lifetime, now: UnixTime) -> Row {
    let age = |seconds| Age(Duration::from_secs(seconds));
    let (from, fresh, until) = (lifetime.valid_after(), lifetime.fresh_until(), lifetime.valid_until());
    let row = |verdict, text: String| Row::new(verdict, "clock", text);
    if from.since(now) > TOLERANCE {
        let text = format!("{} before tor's consensus becomes valid", age(from.since(now)));
        return row(Verdict::Error, text).with_details(["the clock of this machine is behind: timedatectl"]);
    }
    if !lifetime.is_current(now) {
        let text = format!("tor's consensus ended {} ago", age(now.since(until)));
        let remedy = "the clock is ahead (timedatectl), or tor gets no new consensus: its log says why";
        return row(Verdict::Error, text).with_details([remedy]);
    }
    let since = format!("within the time of tor's consensus, which is {} old", age(now.since(from)));
    let freshness = if now <= fresh { " and fresh" } else { "" };
    row(Verdict::Ok, since + freshness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_within_the_consensus_or_wrong() {
        let hour = 3600;
        let lifetime = Lifetime::new(UnixTime(hour), UnixTime(2 * hour), UnixTime(4 * hour)).unwrap();
        for (now, verdict, text) in [
            (hour - 120, Verdict::Error, "2 min before tor's consensus becomes valid"),
            (hour + 60, Verdict::Ok, "within the time of tor's consensus, which is 1 min old and fresh"),
            (3 * hour, Verdict::Ok, "within the time of tor's consensus, which is 2 h old"),
            (6 * hour, Verdict::Error, "tor's consensus ended 2 h ago"),
        ] {
            let row = judge(&lifetime, UnixTime(now));
            assert_eq!((row.verdict, row.text.as_str()), (verdict, text));
        }
    }
}
