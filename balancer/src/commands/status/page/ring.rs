//! The HSDirs of a service's descriptors on the ring: a picture, and a table with the same facts.

use std::f64::consts::TAU;

use maud::{Markup, html};

use crate::status::{Descriptor, Hsdir, Service, Upload, Which};

/// The side of the picture and the radius of the ring, in units of the picture.
const SIDE: f64 = 300.0;
const RADIUS: f64 = 88.0;
/// The distance of the first mark from the ring, and of each mark from the one before it at the same place.
const GAP: f64 = 11.0;
const STEP: f64 = 14.0;
/// The marks of one descriptor that are nearer than this part of the way round are put one behind the other:
/// on a ring of thousands of relays a replica's HSDirs are at one place for the eye.
const NEAR: f64 = 0.04;
/// The most marks one behind the other; the next one is put beside the first.
const DEEP: u8 = 4;
/// The most HSDirs of a descriptor that have a mark; the table has all.
const MOST: usize = 40;

/// The picture of a service's ring, which has this number of HSDirs if it is known. Nothing if no place is
/// known.
pub(super) fn picture(service: &Service, hsdirs: Option<usize>) -> Markup {
    let marks = [Which::First, Which::Second].map(|which| (which, marks(service, which)));
    let is_empty = marks.iter().all(|(_, marks)| marks.is_empty());
    let middle = SIDE / 2.0;
    html! {
        @if !is_empty {
            figure.ring {
                svg role="img" viewBox={ "0 0 " (SIDE) " " (SIDE) } width=(SIDE) height=(SIDE) {
                    title { "The ring of HSDirs" }
                    desc {
                        "The HSDirs of both descriptors, clockwise from the top by their places. Triangles outside of the ring \
                         are those of the first descriptor, squares inside are those of the second. A mark is full if the \
                         HSDir has stored the descriptor, and hollow if not. The table below has the same facts."
                    }
                    circle class="ring-line" cx=(middle) cy=(middle) r=(RADIUS) {}
                    path class="ring-line" d={ "M" (middle) " " (middle - RADIUS - 4.0) "v8" } {}
                    @for (which, marks) in &marks {
                        @for (class, is_full) in [("fill-ok", true), ("hollow", false)] {
                            @let outlines = outlines(marks, *which, is_full);
                            @if !outlines.is_empty() { path class=(class) d=(outlines) {} }
                        }
                    }
                }
                figcaption {
                    @if let Some(number) = hsdirs { p { "The ring of " (number) " HSDirs" } }
                    @for (which, _) in &marks { p { (legend(service, *which)) } }
                    p.quiet { "Clockwise from the top; HSDirs that are close together are one behind the other." }
                }
            }
        }
    }
}

/// The shapes of a descriptor's marks, with the numbers of HSDirs.
fn legend(service: &Service, which: Which) -> Markup {
    let (full, hollow) = match which {
        Which::First => ("▲", "△"),
        Which::Second => ("■", "□"),
    };
    let of_it = || service.descriptors.iter().filter(|descriptor| descriptor.which == which);
    let stored: usize = of_it().map(|descriptor| descriptor.stored).sum();
    let hsdirs: usize = of_it().map(|descriptor| descriptor.hsdirs).sum();
    html! {
        (which) ": "
        span.ok { (full) } " stored at " (stored) ", "
        span.down { (hollow) } " not yet at " (hsdirs.saturating_sub(stored))
    }
}

/// The mark of an HSDir.
struct Mark<'a> {
    hsdir: &'a Hsdir,
    /// Its place as a part of the way round.
    place: f64,
    /// The number of marks between it and the ring.
    behind: u8,
}

/// The marks of the descriptors of one period, in their order on the ring.
fn marks(service: &Service, which: Which) -> Vec<Mark<'_>> {
    let descriptors = service.descriptors.iter().filter(|descriptor| descriptor.which == which);
    let hsdirs = descriptors.flat_map(|descriptor| &descriptor.hsdir_states).take(MOST);
    let mut placed: Vec<(f64, &Hsdir)> = hsdirs.filter_map(|hsdir| Some((hsdir.place?, hsdir))).collect();
    placed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut marks: Vec<Mark<'_>> = Vec::with_capacity(placed.len());
    // The place of the present heap, and the number of marks in it behind the first.
    let mut heap = (f64::NEG_INFINITY, 0);
    for (place, hsdir) in placed {
        heap = match heap {
            (at, _) if place - at >= NEAR => (place, 0),
            (at, behind) if behind + 1 < DEEP => (at, behind + 1),
            (at, _) => (at + NEAR, 0),
        };
        marks.push(Mark { hsdir, place: heap.0, behind: heap.1 });
    }
    marks
}

impl Mark<'_> {
    fn is_full(&self) -> bool {
        self.hsdir.state == Upload::Stored
    }

    fn outline(&self, which: Which) -> String {
        let distance = GAP + STEP * f64::from(self.behind);
        let radius = if which == Which::First { RADIUS + distance } else { RADIUS - distance };
        let (sin, cos) = (self.place * TAU).sin_cos();
        let (x, y) = (SIDE / 2.0 + radius * sin, SIDE / 2.0 - radius * cos);
        match which {
            Which::First => format!("M{x:.1} {:.1}l5 9h-10z", y - 5.0),
            Which::Second => format!("M{:.1} {:.1}h8v8h-8z", x - 4.0, y - 4.0),
        }
    }
}

/// The full marks or the hollow ones of a descriptor as one path: a page of many services stays small.
fn outlines(marks: &[Mark<'_>], which: Which, is_full: bool) -> String {
    marks.iter().filter(|mark| mark.is_full() == is_full).map(|mark| mark.outline(which)).collect()
}

/// The table of all HSDirs of a service; open if one of them lacks its descriptor.
pub(super) fn table(service: &Service) -> Markup {
    let number: usize = service.descriptors.iter().map(|descriptor| descriptor.hsdir_states.len()).sum();
    let is_open = service.descriptors.iter().any(|descriptor| descriptor.lacking().next().is_some());
    html! {
        @if number > 0 {
            details open[is_open] {
                summary { "HSDirs of the descriptors: " (number) }
                table {
                    thead { tr {
                        th { "descriptor" } th { "fingerprint" } th { "place on the ring" } th { "state" } th { "error" }
                    } }
                    tbody {
                        @for descriptor in &service.descriptors {
                            @for hsdir in &descriptor.hsdir_states { (row(descriptor, hsdir)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(descriptor: &Descriptor, hsdir: &Hsdir) -> Markup {
    let class = if hsdir.state == Upload::Stored { "ok" } else { "down" };
    html! {
        tr {
            td { (super::name(descriptor)) }
            td.address { (hsdir.fingerprint) }
            td { (super::maybe(hsdir.place.map(|place| format!("{:.2} %", place * 100.0)))) }
            td class=(class) { (hsdir.state.words()) }
            td {
                @if let Some(error) = &hsdir.last_error { (error) }
                @if hsdir.failures > 1 { " (" (hsdir.failures) " times in a row)" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::relay::Fingerprint;
    use onionbalance_proto::time::UnixTime;

    use super::*;
    use crate::engine::{HsdirStatus, ServiceStatus};
    use crate::status::testing::{descriptor, report, report_of, service, state_of};

    #[test]
    fn hsdirs_at_one_place_are_one_behind_the_other() {
        let mut first = descriptor(7, 0, Some(60));
        let hsdir = first.hsdirs.remove(0);
        let numbered = |number| HsdirStatus { hsdir: Fingerprint([number; 20]), ..hsdir.clone() };
        // The last one is not on the ring.
        first.hsdirs = (1..=6).chain([13, 99]).map(numbered).collect();
        let status = ServiceStatus { descriptors: vec![first], ..service("s.onion") };
        let mut report = report_of(&state_of(vec![report(status, None, &[])]), UnixTime(0));
        let service = &mut report.services[0];
        let places = |service: &Service| -> Vec<(f64, u8)> {
            marks(service, Which::First).iter().map(|mark| (mark.place, mark.behind)).collect()
        };
        let four = [0, 1, 2, 3].map(|behind| (0.0005, behind));
        assert_eq!(places(service), [&four[..], &[(0.2725, 0), (0.2725, 1), (0.8165, 0)]].concat());
        assert_eq!(marks(service, Which::Second).len(), 0);
        service.descriptors[0].hsdir_states.iter_mut().for_each(|hsdir| hsdir.place = Some(0.5));
        let beside = [0, 1, 2, 3].map(|behind| (0.54, behind));
        assert_eq!(places(service), [[0, 1, 2, 3].map(|behind| (0.5, behind)), beside].concat());
        service.descriptors[0].hsdir_states.iter_mut().for_each(|hsdir| hsdir.place = None);
        assert_eq!(picture(service, None).into_string(), "");
    }
}
