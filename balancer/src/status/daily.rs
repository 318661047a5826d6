//! A line a day for each service in the log: its health, and its day in numbers.

use std::collections::HashMap;
use std::fmt;

use onionbalance_proto::time::UnixTime;
use tracing::info;

use super::verdict::{Health, Verdict};
use crate::engine::{BackendState, BackendStatus, ServiceId};
use crate::plural::count;
use crate::runtime::{Activity, ServiceReport, State, StatusBoard};

/// The most services that have a line: the journal drops more messages at a time (journald.conf(5),
/// `RateLimitBurst=`).
const MAX_LINES: usize = 100;

/// The counts of all services at the last line.
#[derive(Debug, Default)]
pub struct Daily(HashMap<ServiceId, Activity>);

/// The day of a service.
#[derive(Debug)]
struct Day {
    name: String,
    health: Health,
    backends: usize,
    live: usize,
    points: usize,
    activity: Activity,
}

impl Daily {
    /// Logs the day of each service, those with the worst health first.
    pub async fn log(&mut self, board: &StatusBoard) {
        let days = self.days(&board.state().await, onionbalance_process::now());
        for day in days.iter().take(MAX_LINES) {
            info!(text.service = %day.name, "{day}");
        }
        if let Some(more) = days.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
            info!("{more} more services, none of which is worse: see onionbalance status");
        }
    }

    fn days(&mut self, state: &State, now: UnixTime) -> Vec<Day> {
        let verdict = Verdict::of(state, now);
        let healths = verdict.healths();
        let mut before = std::mem::take(&mut self.0);
        let mut day = |report: &ServiceReport| {
            let ServiceReport { status, names, activity, .. } = report;
            let before = before.remove(&status.service).unwrap_or_default();
            self.0.insert(status.service.clone(), *activity);
            let is_live = |of: &&BackendStatus| of.state == BackendState::Live && of.weight > 0;
            Day {
                name: names.service(&status.service).to_owned(),
                health: healths.of(status),
                backends: status.backends.len(),
                live: status.backends.iter().filter(is_live).count(),
                points: status.points,
                activity: since(*activity, before),
            }
        };
        let mut days: Vec<Day> = state.services().map(&mut day).collect();
        days.sort_by_key(|day| std::cmp::Reverse(day.health));
        days
    }
}

/// The counts of a day. A service that another tor has taken over begins at 0.
fn since(now: Activity, before: Activity) -> Activity {
    let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    Activity { published: since(now.published, before.published), faults: since(now.faults, before.faults) }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, health, backends, live, points, activity } = self;
        write!(f, "{name}: {health}; ")?;
        if live != backends {
            write!(f, "{live} of ")?;
        }
        let Activity { published, faults } = *activity;
        write!(f, "{}, {}; ", count(*backends, "backend"), count(*points, "point"))?;
        write!(f, "published {}; {}", count(published, "time"), count(faults, "fault"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{backend, descriptor, report, service, state_of};
    use super::*;
    use crate::engine::ServiceStatus;

    /// The lines for two services with these counts.
    fn lines(daily: &mut Daily, activities: [(u64, u64); 2]) -> Vec<String> {
        let published =
            |address| ServiceStatus { descriptors: vec![descriptor(7, 0, Some(60))], ..service(address) };
        let missing = BackendStatus { state: BackendState::NotFound, ..backend("b.onion", None) };
        let shop =
            ServiceStatus { backends: vec![backend("a.onion", Some(1)), missing], ..published("s.onion") };
        let wiki = ServiceStatus {
            stale_for: Some(Duration::from_secs(3600)),
            points: 1,
            backends: vec![backend("c.onion", Some(1))],
            ..published("t.onion")
        };
        let reports = [report(shop, Some("shop"), &[]), report(wiki, None, &[])];
        let counted = |(report, (published, faults))| ServiceReport {
            activity: Activity { published, faults },
            ..report
        };
        let reports = reports.into_iter().zip(activities).map(counted).collect();
        daily.days(&state_of(reports), UnixTime(1_795_340_000)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_day_has_one_line_for_each_service_the_worst_first() {
        let mut daily = Daily::default();
        let wanted = [
            "t.onion: down; 1 backend, 1 point; published 1 time; 1 fault",
            "shop: degraded; 1 of 2 backends, 3 points; published 14 times; 0 faults",
        ];
        assert_eq!(lines(&mut daily, [(14, 0), (1, 1)]), wanted);
        // The first service has gone on; the second one is in another runtime.
        let wanted = [
            "t.onion: down; 1 backend, 1 point; published 0 times; 0 faults",
            "shop: degraded; 1 of 2 backends, 3 points; published 12 times; 2 faults",
        ];
        assert_eq!(lines(&mut daily, [(26, 2), (0, 0)]), wanted);
    }
}
