//! The last day of a service as a picture: the times in which each backend was live, and what happened.

use maud::{Markup, html};
use onionbalance_proto::time::UnixTime;

use crate::status::{Event, Instance, Moment, Report, Service};

const DAY: u64 = 24 * 60 * 60;
/// Sizes in units of the picture: the room for names, that for the day, and the height of a row.
const NAMES: f64 = 120.0;
const WIDTH: f64 = 600.0;
const ROW: f64 = 20.0;
/// The most backends that have a row; the table has all.
const ROWS: usize = 40;

/// A service's last day.
pub(super) struct Timeline<'a> {
    begin: u64,
    end: u64,
    service: &'a Service,
    /// The service's events and its backends', the latest first.
    events: &'a [&'a Event],
}

impl<'a> Timeline<'a> {
    /// The day before the report, or the time since the balancer's start if that is shorter.
    pub(super) fn new(report: &Report, service: &'a Service, events: &'a [&'a Event]) -> Self {
        let end = report.time.0.0;
        let begin = report.started_at.0.0.max(end.saturating_sub(DAY)).min(end);
        Self { begin, end, service, events }
    }

    pub(super) fn picture(&self) -> Markup {
        let backends = || self.service.instances.iter().take(ROWS);
        // Below the backends are publications, warnings, and the times.
        let below = steps().nth(backends().count()).unwrap_or_default();
        let (width, height) = (NAMES + WIDTH, below + 3.0 * ROW);
        html! {
            h3 { "The last " (hours(self.end - self.begin)) }
            svg.day role="img" viewBox={ "0 0 " (width) " " (height) } {
                title { "When each backend was live, and when the descriptors were published" }
                @for (instance, y) in backends().zip(steps()) {
                    text x="0" y=(y + 13.0) { (instance.label().chars().take(16).collect::<String>()) }
                    rect class="fill-none" x=(NAMES) y=(y + 4.0) width=(WIDTH) height="12" {}
                    @for (from, to) in self.live(instance) {
                        rect class="fill-ok" x=(from) y=(y + 4.0) width=(to - from) height="12" {}
                    }
                }
                text x="0" y=(below + 13.0) { "published" }
                @let published = self.marks(|event| event.id == "DESCRIPTOR_COMPLETE");
                path class="fill-text" d=(outlines(&published, below + 4.0, "h2v12h-2z")) {}
                text x="0" y=(below + ROW + 13.0) { "warnings" }
                @let warnings = self.marks(|event| event.warning);
                path class="mark" d=(outlines(&warnings, below + ROW + 6.0, "m-4 0l8 8m0 -8l-8 8")) {}
                text x=(NAMES) y=(below + 2.0 * ROW + 13.0) { (UnixTime(self.begin)) " UTC" }
                text x=(width) y=(below + 2.0 * ROW + 13.0) text-anchor="end" { (UnixTime(self.end)) " UTC" }
            }
        }
    }

    /// The spans in which a backend was live, as places in the picture.
    fn live(&self, instance: &Instance) -> Vec<(f64, f64)> {
        let changes = self.events.iter().rev().filter_map(|event| {
            let is_it = event.instance.as_ref() == Some(&instance.onion_address);
            Some((event.at, Change::of(&event.id).filter(|_| is_it)?))
        });
        let changes: Vec<(Moment, Change)> = changes.collect();
        // A backend is gone only if it was live before.
        let was_live = match changes.first() {
            Some((_, change)) => *change == Change::Gone,
            None => instance.live_points().is_some(),
        };
        let mut since = was_live.then(|| self.place_of(self.begin));
        let mut spans = Vec::new();
        for (at, change) in changes {
            match (since, change) {
                (None, Change::Live) => since = Some(self.place(at)),
                (Some(from), Change::Gone | Change::Missing) => {
                    spans.push((from, self.place(at)));
                    since = None;
                }
                (None, Change::Gone | Change::Missing) | (Some(_), Change::Live) => {}
            }
        }
        spans.extend(since.map(|from| (from, self.place_of(self.end))));
        spans
    }

    fn marks(&self, is_one: impl Fn(&Event) -> bool) -> Vec<f64> {
        self.events.iter().filter(|event| is_one(event)).map(|event| self.place(event.at)).collect()
    }

    fn place(&self, at: Moment) -> f64 {
        self.place_of(at.0.0)
    }

    /// The place of a time: whole units are precise enough.
    fn place_of(&self, at: u64) -> f64 {
        let (passed, all) = (at.clamp(self.begin, self.end) - self.begin, (self.end - self.begin).max(1));
        let thousandths = u32::try_from(passed * 1000 / all).unwrap_or(1000);
        (NAMES + WIDTH * f64::from(thousandths) / 1000.0).round()
    }
}

/// A change of a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// It is live.
    Live,
    /// It was live, and is not any more.
    Gone,
    /// It was not found, and was not live before.
    Missing,
}

impl Change {
    /// The change by the kind of event; `None` for other events.
    fn of(id: &str) -> Option<Self> {
        match id {
            "BACKEND_FOUND" | "BACKEND_BACK" => Some(Self::Live),
            "BACKEND_GONE" => Some(Self::Gone),
            "BACKEND_NOT_FOUND" => Some(Self::Missing),
            _ => None,
        }
    }
}

/// All marks of a row as one path: each has this shape at its place.
fn outlines(places: &[f64], y: f64, shape: &str) -> String {
    places.iter().map(|x| format!("M{x} {y}{shape}")).collect::<Vec<_>>().concat()
}

/// The tops of rows.
fn steps() -> impl Iterator<Item = f64> {
    (0_u16..).map(|row| f64::from(row) * ROW)
}

fn hours(seconds: u64) -> String {
    match seconds.div_ceil(3600) {
        0 | 1 => "hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::engine::{Gone, Notice, ServiceStatus};
    use crate::status::testing::{backend, event, report, report_of, service, state_of};

    /// The spans of a live backend after an hour, by notices of so many minutes ago.
    fn spans(notices: &[(Notice, u64)]) -> Vec<(f64, f64)> {
        let status = ServiceStatus { backends: vec![backend("b.onion", Some(1))], ..service("s.onion") };
        let (mut state, now) = (state_of(vec![report(status, None, &[])]), Instant::now());
        let at = |minutes: u64| now - Duration::from_mins(minutes);
        state.tors[0].history = notices.iter().map(|(notice, ago)| event(notice, at(*ago))).collect();
        let report = report_of(&state, UnixTime(1_795_336_111));
        let events: Vec<&Event> = report.events.iter().collect();
        Timeline::new(&report, &report.services[0], &events).live(&report.services[0].instances[0])
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_is_live_between_its_events() {
        tokio::time::advance(Duration::from_hours(2)).await;
        let b = || "b.onion".into();
        let gone = || Notice::BackendGone { backend: b(), why: Gone::NotFound };
        let back = || Notice::BackendBack { backend: b(), points: 3, after: Duration::ZERO };
        let found = || Notice::BackendFound { backend: b(), points: 3, after: None };
        let missing = || Notice::BackendNotFound { backend: b() };
        let (begin, half, end) = (NAMES, NAMES + WIDTH / 2.0, NAMES + WIDTH);
        assert_eq!(spans(&[]), [(begin, end)]);
        assert_eq!(spans(&[(gone(), 30)]), [(begin, half)]);
        assert_eq!(spans(&[(found(), 30)]), [(half, end)]);
        assert_eq!(spans(&[(found(), 30), (missing(), 45)]), [(half, end)]);
        assert_eq!(spans(&[(back(), 15), (gone(), 30)]), [(begin, half), (NAMES + WIDTH * 0.75, end)]);
    }
}
