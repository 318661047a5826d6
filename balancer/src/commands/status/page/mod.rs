//! The status as a page: one file of HTML without scripts, which loads nothing.
//!
//! It is a pure function of the report. Each picture is followed by a table with the same facts, and states
//! have words besides their colours.

mod pictures;
mod redact;
mod ring;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use self::redact::redacted;
use self::timeline::Timeline;
use crate::age::{Age, RoughAge};
use crate::status::{Descriptor, Event, Health, Instance, Moment, Problem, Report, Service, Severity, Tor};

const STYLE: &str = include_str!("style.css");
/// Neither scripts nor anything from elsewhere, also if a name had got through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of a report.
pub(super) fn render(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "onionbalance: " (report.health) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "onionbalance" }
                    p class={ "verdict " (class(report.health)) } { (report.summary) }
                    p.quiet {
                        (time(report.time)) " · up " (ago(report, report.started_at)) " · version " (report.version)
                        @if let Some(commit) = &report.commit { " (commit " (commit) ")" }
                    }
                }
                main {
                    (problems(&report.problems))
                    (parts(report))
                    @for service in &report.services { (of_service(report, service)) }
                    (events(report, &of_nobody(report), "Other events of the last day"))
                }
            }
        }
    };
    page.into_string()
}

fn class(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Starting | Health::Degraded => "warning",
        Health::Down => "down",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Advice => "advice",
        Severity::Warning => "warning",
        Severity::Critical => "down",
    }
}

fn badge(health: Health) -> Markup {
    html! { span class={ "badge " (class(health)) } { (health) } }
}

fn problems(problems: &[Problem]) -> Markup {
    html! {
        @if !problems.is_empty() {
            section {
                h2 { "Problems" }
                ul.problems {
                    @for problem in problems {
                        li class=(severity(problem.severity)) {
                            strong { (problem.text) }
                            div { (problem.remedy) }
                            div.quiet { (problem.id) }
                        }
                    }
                }
            }
        }
    }
}

/// The tors and the signer.
fn parts(report: &Report) -> Markup {
    let signer = match (report.signer.connected, report.signer.away_since) {
        (true, _) => "connected".to_owned(),
        (false, Some(since)) => format!("away for {}", ago(report, since)),
        (false, None) => "no answer yet".to_owned(),
    };
    html! {
        section {
            h2 { "Tor and signer" }
            table {
                thead { tr { th { "part" } th { "state" } th { "version and network" } th { "at work" } } }
                tbody {
                    @for tor in &report.tors {
                        tr {
                            th scope="row" { "tor at " (tor.control_ports.join(" or ")) }
                            td { (tor.access()) " for " (ago(report, tor.since)) }
                            td { (network(tor)) }
                            td {
                                (tor.in_flight) " requests outstanding, "
                                (tor.fetches_waiting + tor.uploads_waiting + tor.read_backs_waiting) " waiting"
                            }
                        }
                    }
                    tr {
                        th scope="row" { "signer" }
                        td { (signer) }
                        td {}
                        td { (report.signer.signed) " signed, " (report.signer.refused) " refused" }
                    }
                }
            }
        }
    }
}

/// The version of a tor and the state of its consensus, as far as they are known.
fn network(tor: &Tor) -> String {
    let consensus = tor.consensus_valid_until.map(|until| format!("consensus until {}", time(until)));
    tor.facts().chain(consensus).collect::<Vec<_>>().join(", ")
}

/// The number of HSDirs on the rings; `None` if tors have different ones.
fn hsdirs(report: &Report) -> Option<usize> {
    let mut numbers = report.tors.iter().filter_map(|tor| tor.hsdirs);
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

fn of_service(report: &Report, service: &Service) -> Markup {
    let concerns = |event: &&Event| {
        let is_backends = |address: &String| service.instances.iter().any(|of| of.onion_address == *address);
        event.service.as_ref() == Some(&service.onion_address)
            || event.instance.as_ref().is_some_and(is_backends)
    };
    let of_it: Vec<&Event> = report.events.iter().filter(concerns).collect();
    html! {
        section {
            h2 { (service.label()) " " (badge(service.health)) }
            @if service.name.is_some() { p.address { (service.onion_address) } }
            (descriptors(report, service))
            (ring::picture(service, hsdirs(report)))
            (ring::table(service))
            (backends(report, service))
            (Timeline::new(report, service, &of_it).picture())
            (events(report, &of_it, "Events of the last day"))
        }
    }
}

fn descriptors(report: &Report, service: &Service) -> Markup {
    html! {
        h3 { "Descriptors" }
        @if service.descriptors.is_empty() { p { "No descriptor yet." } } @else {
            table {
                thead { tr {
                    th { "descriptor" } th { "period ends" } th { "HSDirs that have it" } th { "points" }
                    th { "last stored" } th { "next" }
                } }
                tbody {
                    @for descriptor in &service.descriptors {
                        tr {
                            th scope="row" { (name(descriptor)) }
                            td { (maybe(descriptor.period_ends.map(time))) }
                            td { (pictures::hsdirs(descriptor)) " " (descriptor.stored) " of " (descriptor.hsdirs) }
                            td { (service.intro_points_num) }
                            td { (maybe(descriptor.last_stored.map(|at| format!("{} ago", ago(report, at))))) }
                            td { (maybe(descriptor.next_publication.map(|at| format!("in {}", until(report, at))))) }
                        }
                    }
                }
            }
        }
    }
}

/// The name of one of a service's descriptors.
fn name(descriptor: &Descriptor) -> String {
    let replica = descriptor.replica.map(|replica| format!(", replica {replica}"));
    format!("{}{}", descriptor.which, replica.unwrap_or_default())
}

fn backends(report: &Report, service: &Service) -> Markup {
    html! {
        h3 { "Backends" }
        table {
            thead { tr {
                th { "backend" } th { "state" }
                @if has_checks(service) { th { "probe" } }
                th { "points" } th { "weight" } th { "share" } th { "looked at" }
                th { "changed" } th { "address" }
            } }
            tbody { @for instance in &service.instances { (backend(report, instance, has_checks(service))) } }
        }
    }
}

/// True if one of the service's backends has a health check.
fn has_checks(service: &Service) -> bool {
    service.instances.iter().any(|instance| instance.health_check.is_some())
}

/// The last probe of a backend.
fn probe(instance: &Instance) -> Option<String> {
    let check = instance.health_check.as_ref()?;
    let took = check.last_seconds.map(|seconds| format!("{seconds:.1} s"));
    check.last_error.clone().or(took)
}

fn backend(report: &Report, instance: &Instance, has_checks: bool) -> Markup {
    let roughly = |at: Moment| format!("{} ago", RoughAge(report.since(at)));
    html! {
        tr {
            th scope="row" { (maybe(instance.name.clone())) }
            td {
                span class={ "badge " (class(instance.state.health())) } { (instance.state) }
                @if let Some(drain) = instance.drain_by_command() { br; (drain) }
            }
            @if has_checks { td { (maybe(probe(instance))) } }
            td { (maybe(instance.live_points().map(|points| points.to_string()))) }
            td { (instance.weight) }
            td {
                @match instance.share {
                    Some(share) => { (pictures::share(share)) " " (format!("{:.0} %", share * 100.0)) }
                    None => "–"
                }
            }
            td { (maybe(instance.last_look.map(roughly))) }
            td { (maybe(instance.changed().map(roughly))) }
            td.address { (instance.onion_address) }
        }
    }
}

/// The events that are about no service and no backend.
fn of_nobody(report: &Report) -> Vec<&Event> {
    report.events.iter().filter(|event| event.service.is_none() && event.instance.is_none()).collect()
}

fn events(report: &Report, events: &[&Event], head: &str) -> Markup {
    let about = |event: &Event| {
        let mut instances = report.services.iter().flat_map(|service| &service.instances);
        let instance = event.instance.as_ref().and_then(|of| instances.find(|one| one.onion_address == *of));
        let service = event.service.as_ref().and_then(|of| report.service(of));
        instance.map(Instance::label).or(service.map(Service::label)).unwrap_or_default().to_owned()
    };
    html! {
        details {
            summary { (head) ": " (events.len()) }
            @if !events.is_empty() {
                table {
                    thead { tr { th { "time (UTC)" } th { "about" } th { "event" } } }
                    tbody {
                        @for event in events {
                            tr class=[event.warning.then_some("warning")] {
                                td { (event.at.0) }
                                td { (about(event)) }
                                td { (event.text) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn maybe(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// A moment, with its zone.
fn time(at: Moment) -> String {
    format!("{} UTC", at.0)
}

fn ago(report: &Report, at: Moment) -> String {
    Age(report.since(at)).to_string()
}

fn until(report: &Report, at: Moment) -> String {
    Age(report.until(at)).to_string()
}

#[cfg(test)]
mod tests;
