//! The status as Onionbalance 0.1.8 showed it: a line for each service, then one for each of its backends.
//! Times are UTC. Names come before addresses.

use std::fmt::{self, Write};

use onionbalance_proto::time::UnixTime;

use crate::age::Age;
use crate::engine::{BackendState, BackendStatus, ServiceStatus};
use crate::names::Names;
use crate::runtime::{Behind, PostLoad, ServiceReport, State, TorState};

/// The status as lines.
pub(super) fn render(state: &State, now: UnixTime) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = state.services().try_for_each(|service| write_service(&mut text, service, now));
    let _ = state.tors.iter().try_for_each(|tor| write_tor(&mut text, tor));
    text
}

/// Writes a line with tor's posts of version-3 descriptors, and another one if it is behind. For version-2
/// services the first one is left out, so that these have the lines of 0.1.8.
fn write_tor(text: &mut String, tor: &TorState) -> fmt::Result {
    let PostLoad { since_start, last_day, day, .. } = tor.posts;
    let (places, day) = (tor.places(), Age(day));
    if last_day > 0 || since_start > 0 {
        writeln!(text, "{places}: {last_day} posts in the last {day}, {since_start} since tor started")?;
    }
    match tor.load.behind_for {
        Some(_) => writeln!(text, "{places}: {}", Behind(&tor.load)),
        None => Ok(()),
    }
}

fn write_service(text: &mut String, service: &ServiceReport, now: UnixTime) -> fmt::Result {
    let ServiceReport { status, names, client_line, .. } = service;
    if let Some(name) = names.of_service(&status.service) {
        write!(text, "{name} ")?;
    }
    match stored(status, now) {
        Some(time) => writeln!(text, "{} {time}", status.service)?,
        None => writeln!(text, "{} [not uploaded]", status.service)?,
    }
    status.backends.iter().try_for_each(|backend| write_backend(text, backend, names, now))?;
    // Frontends that authorize their clients never worked with 0.1.8, so no reader of its status expects
    // another line.
    match client_line {
        Some(line) => writeln!(text, "  clients: {line}"),
        None => Ok(()),
    }
}

fn write_backend(text: &mut String, backend: &BackendStatus, names: &Names, now: UnixTime) -> fmt::Result {
    text.push_str("  ");
    if let Some(name) = names.of_backend(&backend.backend) {
        write!(text, "{name} ")?;
    }
    match made(backend, now) {
        Some(time) => writeln!(text, "{} {time} {} IPs", backend.backend, backend.points),
        None => writeln!(text, "{} [offline]", backend.backend),
    }
}

/// The time at which an HSDir last stored one of the service's descriptors. 0.1.8 showed the time of the last
/// attempt.
fn stored(service: &ServiceStatus, now: UnixTime) -> Option<UnixTime> {
    let newest = service.descriptors.iter().filter_map(|descriptor| descriptor.stored_ago).min()?;
    Some(now.minus(newest.as_secs()))
}

/// The time at which a live backend made its newest descriptor. A v3 descriptor does not have it; for those
/// it is the time at which the descriptor was first seen.
fn made(backend: &BackendStatus, now: UnixTime) -> Option<UnixTime> {
    if backend.state != BackendState::Live {
        return None;
    }
    backend.published.or_else(|| Some(now.minus(backend.received_ago?.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Gone;
    use crate::onion_version::ClientLine;
    use crate::status::testing::{BEHIND, backend, descriptor, report, service, state_of};

    /// The state of these services, with a tor that has taken no version-3 post.
    fn of_version_2(services: Vec<ServiceReport>) -> State {
        let mut state = state_of(services);
        state.tors[0].posts = PostLoad::default();
        state
    }

    #[test]
    fn lines_are_those_of_0_1_8() {
        let made = |name: &str, published| BackendStatus {
            published: Some(UnixTime(published)),
            ..backend(name, Some(5))
        };
        let status = ServiceStatus {
            descriptors: vec![
                descriptor(7, 0, Some(600)),
                descriptor(7, 1, Some(60)),
                descriptor(8, 0, None),
            ],
            backends: vec![
                made("jyvfq5umznvka34v.onion", 1_795_334_400),
                BackendStatus {
                    state: BackendState::Gone(Gone::TooOld),
                    ..made("nkz23ai6qesuwqhc.onion", 1_795_334_400)
                },
                BackendStatus { state: BackendState::Unknown, ..backend("o6ff73vmigi4oxka.onion", None) },
                backend("v3.onion", Some(1)),
            ],
            ..service("7s4hxwwifcslrus2.onion")
        };
        let unpublished = ServiceStatus { descriptors: vec![], ..service("dpkdeys3apjtqydk.onion") };
        let now = UnixTime(1_795_336_111);
        assert_eq!(
            render(
                &of_version_2(vec![report(status.clone(), None, &[]), report(unpublished, None, &[])]),
                now
            ),
            "7s4hxwwifcslrus2.onion 2026-11-22 08:27:31\n  jyvfq5umznvka34v.onion 2026-11-22 08:00:00 3 IPs\n  \
             nkz23ai6qesuwqhc.onion [offline]\n  o6ff73vmigi4oxka.onion [offline]\n  v3.onion 2026-11-22 08:28:30 3 \
             IPs\ndpkdeys3apjtqydk.onion [not uploaded]\n"
        );
        let line = ClientLine {
            frontend: "7s4hxwwifcslrus2".parse().unwrap(),
            cookie: "1LWjaYKD5ufodnNvVIZvpB".parse().unwrap(),
        };
        let authorized = ServiceReport { client_line: Some(line), ..report(service("a.onion"), None, &[]) };
        assert_eq!(
            render(&of_version_2(vec![authorized]), now),
            "a.onion [not uploaded]\n  clients: HidServAuth 7s4hxwwifcslrus2.onion 1LWjaYKD5ufodnNvVIZvpA\n"
        );
        let names = [("jyvfq5umznvka34v.onion", "srv 1"), ("nkz23ai6qesuwqhc.onion", "srv2")];
        assert_eq!(
            render(&of_version_2(vec![report(status, Some("shop"), &names)]), now),
            "shop 7s4hxwwifcslrus2.onion 2026-11-22 08:27:31\n  srv 1 jyvfq5umznvka34v.onion 2026-11-22 08:00:00 3 IPs\n  \
             srv2 nkz23ai6qesuwqhc.onion [offline]\n  o6ff73vmigi4oxka.onion [offline]\n  v3.onion 2026-11-22 08:28:30 3 \
             IPs\n"
        );
    }

    #[test]
    fn a_tor_that_loses_memory_has_a_line_with_its_posts() {
        let state = state_of(vec![report(service("a.onion"), None, &[])]);
        let line = "unix:/run/tor/control: 40 posts in the last 1 h, 30 since tor started\n";
        assert_eq!(render(&state, UnixTime(0)), format!("a.onion [not uploaded]\n{line}"));
    }

    #[test]
    fn a_tor_that_is_behind_has_a_line() {
        let mut state = state_of(vec![report(service("a.onion"), None, &[])]);
        let quiet = render(&state, UnixTime(0));
        state.tors[0].load = BEHIND;
        let line = "unix:/run/tor/control: more to do than one tor can: 6900 fetches, 12 uploads and 0 read-backs wait, \
                    the longest for 20 min; use more tors, or fewer services per tor\n";
        assert_eq!(render(&state, UnixTime(0)), format!("{quiet}{line}"));
    }
}
