//! The report on a state, and its JSON.

mod service;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;

use self::service::{KnownRings, service};
use super::moment::Moment;
use super::report::{Configuration, Durations, Event, Process, Reload, Report, SCHEMA, Service, Signer, Tor};
use super::verdict::Verdict;
use crate::network::Absence;
use crate::runtime::{
    self, ConsensusAge, Happening, Loaded, RefusedReload, SIGNATURE_BOUNDS, ServiceReport, State, TorState,
};

/// The JSON object, with a line end.
pub(super) fn render(state: &State, now: UnixTime) -> String {
    // Strings, numbers and lists of them can always be rendered.
    let mut text = serde_json::to_string_pretty(&report(state, now)).unwrap_or_default();
    text.push('\n');
    text
}

/// The report on this state at the time `now`. Services and backends are in the order of the configuration.
pub(super) fn report(state: &State, now: UnixTime) -> Report {
    let verdict = Verdict::of(state, now);
    let healths = verdict.healths();
    let mut rings = KnownRings::default();
    let of_tor = |tor: &TorState| -> Vec<(Option<usize>, Service)> {
        let mut one = |report: &ServiceReport| {
            let place = report.names.place(&report.status.service);
            let end = state.delegations.get(&report.status.service).copied().map(Moment);
            let service = service(report, tor.rings.as_ref(), &mut rings, &healths, now);
            (place, Service { delegation_ends: end, ..service })
        };
        tor.services.iter().map(&mut one).collect()
    };
    let mut services: Vec<_> = state.tors.iter().flat_map(of_tor).collect();
    services.sort_by_key(|(place, _)| *place);
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: onionbalance_process::commit().map(str::to_owned),
        time: Moment(now),
        started_at: ago(state.uptime, now),
        health: verdict.health,
        summary: verdict.to_string(),
        configuration: configuration(state, now),
        process: Process {
            cpu_seconds: state.usage.processor.as_secs_f64(),
            max_resident_bytes: state.usage.most_memory,
        },
        signer: signer(state, now),
        tors: state.tors.iter().map(|of| tor(of, now)).collect(),
        services: services.into_iter().map(|(_, service)| service).collect(),
        problems: verdict.problems,
        events: events(state, now),
    }
}

fn configuration(state: &State, now: UnixTime) -> Option<Configuration> {
    let Loaded { file, at, is_reload } = state.configuration.as_ref()?;
    let loaded_at = ago(at.elapsed(), now);
    let last_reload = match &state.reload {
        Some(RefusedReload { since, problem }) => {
            Some(Reload { at: ago(since.elapsed(), now), ok: false, error: Some(problem.clone()) })
        }
        None => is_reload.then_some(Reload { at: loaded_at, ok: true, error: None }),
    };
    Some(Configuration { file: file.display().to_string(), loaded_at, last_reload })
}

fn signer(state: &State, now: UnixTime) -> Signer {
    let trouble = state.signer.as_ref();
    let signatures = || state.tors.iter().map(|tor| tor.signatures);
    let mut took = runtime::Durations::default();
    signatures().for_each(|of| took.add(&of.took));
    Signer {
        connected: trouble.is_none() && !state.tors.is_empty(),
        away_since: trouble.map(|trouble| ago(trouble.since.elapsed(), now)),
        last_error: trouble.map(|trouble| trouble.problem.clone()),
        signed: signatures().map(|of| of.signed).sum(),
        refused: signatures().map(|of| of.refused).sum(),
        failed: signatures().map(|of| of.failed).sum(),
        took_milliseconds: took.sum.as_millis().try_into().unwrap_or(u64::MAX),
        durations: durations(&SIGNATURE_BOUNDS, &took),
    }
}

fn durations<const N: usize>(bounds: &[Duration; N], of: &runtime::Durations<N>) -> Durations {
    let runtime::Durations { counts, longer, sum } = of;
    Durations {
        bounds: bounds.iter().map(Duration::as_secs_f64).collect(),
        counts: counts.iter().chain([longer]).copied().collect(),
        sum_seconds: sum.as_secs_f64(),
    }
}

fn tor(state: &TorState, now: UnixTime) -> Tor {
    let TorState { endpoints, is_ready, since, load, posts, lifetime, .. } = state;
    let (bootstrap, last_error) = match &state.absence {
        _ if *is_ready => (Some(100), None),
        None => (None, None),
        Some(Absence::Unreachable(reason)) => (None, Some(reason.clone())),
        Some(Absence::Starting { percent, step, .. }) => (Some(*percent), Some(step.clone())),
    };
    let behind = if let ConsensusAge::Early(by) = state.consensus { by.as_secs() } else { 0 };
    Tor {
        control_ports: endpoints.iter().map(ToString::to_string).collect(),
        ready: *is_ready,
        since: ago(*since, now),
        version: state.version.clone(),
        bootstrap,
        last_error,
        reconnects: state.reconnects,
        hsdirs: state.hsdirs,
        consensus_valid_after: lifetime.map(|lifetime| Moment(lifetime.valid_after())),
        consensus_valid_until: lifetime.map(|lifetime| Moment(lifetime.valid_until())),
        clock_behind_seconds: behind,
        in_flight: load.in_flight,
        most_in_flight: load.most_in_flight,
        fetches_waiting: load.looks_waiting,
        uploads_waiting: load.posts_waiting,
        read_backs_waiting: load.read_backs_waiting,
        longest_wait_seconds: load.longest_wait.as_secs(),
        behind_for_seconds: load.behind_for.map(|time| time.as_secs()),
        posts_since_start: posts.since_start,
        posts_last_day: posts.last_day,
        posts_last_day_seconds: posts.day.as_secs(),
        restart_due: posts.is_restart_due,
    }
}

/// The events of all tors, the latest first.
fn events(state: &State, now: UnixTime) -> Vec<Event> {
    let mut all: Vec<&Arc<Happening>> = state.tors.iter().flat_map(|tor| &tor.history).collect();
    all.sort_by_key(|happening| Reverse(happening.at));
    all.into_iter().map(|happening| event_of(happening, now)).collect()
}

fn event_of(Happening { at, words }: &Happening, now: UnixTime) -> Event {
    Event {
        at: ago(at.elapsed(), now),
        id: words.id.to_owned(),
        warning: words.is_warning,
        service: words.service.as_ref().map(ToString::to_string),
        instance: words.backend.as_ref().map(ToString::to_string),
        text: words.text.clone(),
    }
}

fn ago(age: Duration, now: UnixTime) -> Moment {
    Moment(now.minus(age.as_secs()))
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::relay::Fingerprint;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::engine::{
        BackendState, BackendStatus, Drain, HsdirStatus, Notice, ServiceStatus, UploadProblem, UploadState,
    };
    use crate::names::NamesBuilder;
    use crate::onion_version::ClientLine;
    use crate::status::testing::{BEHIND, backend, descriptor, event, report, report_of, service, state_of};

    /// Checks that `found` has everything of `wanted`, and maybe more keys.
    fn assert_has(found: &serde_json::Value, wanted: &serde_json::Value) {
        use serde_json::Value::{Array, Object};
        match (found, wanted) {
            (Object(found), Object(wanted)) => {
                wanted.iter().for_each(|(key, value)| assert_has(&found[key], value));
            }
            (Array(found), Array(wanted)) => {
                assert_eq!(found.len(), wanted.len());
                found.iter().zip(wanted).for_each(|(found, wanted)| assert_has(found, wanted));
            }
            _ => assert_eq!(found, wanted),
        }
    }

    #[test]
    fn a_report_can_be_read_again() {
        let status = ServiceStatus {
            descriptors: vec![descriptor(7, 0, Some(60))],
            backends: vec![backend("a.onion", Some(1)), backend("b.onion", None)],
            ..service("front.onion")
        };
        let (state, now) = (state_of(vec![report(status, Some("shop"), &[])]), UnixTime(1_795_336_111));
        let read: Report = serde_json::from_str(&render(&state, now)).unwrap();
        assert_eq!(read, super::report(&state, now));
    }

    #[test]
    fn keys_are_onionbalances() {
        let status = ServiceStatus {
            descriptors: vec![descriptor(7, 0, Some(60))],
            backends: vec![backend("a.onion", Some(1)), backend("b.onion", None)],
            ..service("front.onion")
        };
        let now = UnixTime(1_795_336_111);
        let state = state_of(vec![report(status.clone(), None, &[])]);
        let json: serde_json::Value = serde_json::from_str(&render(&state, now)).unwrap();
        let wanted = serde_json::json!({
            "onionAddress": "front.onion",
            "publishAttemptFirstDescriptor": "2026-11-22 08:27:41",
            "publishAttemptSecondDescriptor": null,
            "introPointsNum": 3,
            "descriptors": [{"which": "first", "timePeriod": 7, "revision": 9, "hsdirs": 1, "stored": 1,
                             "lastStored": "2026-11-22 08:27:31"}],
            "instances": [
                {"onionAddress": "a.onion", "descriptorReceived": "2026-11-22 08:28:30",
                 "introSetModified": "2026-11-22 08:28:30", "introPointsNum": 3, "live": true},
                {"onionAddress": "b.onion", "received": null},
            ],
        });
        assert_has(&json["services"][0], &wanted);
        assert!(json["services"][0]["instances"][1].get("live").is_none());
        let line = ClientLine {
            frontend: "7s4hxwwifcslrus2".parse().unwrap(),
            cookie: "1LWjaYKD5ufodnNvVIZvpB".parse().unwrap(),
        };
        let mut shop = report(status, Some("shop"), &[("a.onion", "web1"), ("b.onion", "web2")]);
        shop.client_line = Some(line);
        let json: serde_json::Value = serde_json::from_str(&render(&state_of(vec![shop]), now)).unwrap();
        let service = &json["services"][0];
        assert_eq!(service["name"], "shop");
        assert_eq!(service["clientLine"], "HidServAuth 7s4hxwwifcslrus2.onion 1LWjaYKD5ufodnNvVIZvpA");
        let instances = service["instances"].as_array().unwrap();
        let names: Vec<_> = instances.iter().map(|instance| &instance["name"]).collect();
        assert_eq!(names, ["web1", "web2"]);
    }

    #[test]
    fn a_drained_backend_is_drained_whether_it_is_live_or_not() {
        let drained = |of| BackendStatus { weight: 0, share: Some(0.0), ..of };
        let until = Some(UnixTime(1_795_343_400));
        let by_command = BackendStatus { drain: Some(Drain { until }), ..backend("d.onion", Some(1)) };
        let gone = BackendStatus { state: BackendState::NotFound, ..backend("b.onion", None) };
        let other = BackendStatus { weight: 7, share: Some(1.0 / 3.0), ..backend("c.onion", Some(1)) };
        let status = ServiceStatus {
            backends: vec![drained(backend("a.onion", Some(1))), drained(gone), other, by_command],
            ..service("front.onion")
        };
        let json: serde_json::Value =
            serde_json::from_str(&render(&state_of(vec![report(status, None, &[])]), UnixTime(0))).unwrap();
        let wanted = serde_json::json!([
            {"state": "drained", "live": true, "drained": true, "drainedBy": "weight", "weight": 0, "share": 0.0},
            {"state": "drained", "drained": true, "drainedBy": "weight", "weight": 0, "share": 0.0},
            {"state": "live", "drained": false, "drainedBy": null, "weight": 7, "share": 0.333},
            {"state": "drained", "live": true, "drained": true, "drainedBy": "command",
             "drainedUntil": "2026-11-22 10:30:00", "weight": 1},
        ]);
        assert_has(&json["services"][0]["instances"], &wanted);
    }

    #[test]
    fn each_hsdir_has_its_place_and_its_state() {
        let mut first = descriptor(7, 0, Some(60));
        let problem = Some(UploadProblem::Silent);
        let state = UploadState::Pending { failures: 2 };
        first.hsdirs.push(HsdirStatus { hsdir: Fingerprint([99; 20]), state, revision: None, problem });
        let status = ServiceStatus { descriptors: vec![first], ..service("front.onion") };
        let json: serde_json::Value =
            serde_json::from_str(&render(&state_of(vec![report(status, None, &[])]), UnixTime(0))).unwrap();
        assert_eq!(
            json["services"][0]["descriptors"][0]["hsdirStates"],
            serde_json::json!([
                {"fingerprint": "01".repeat(20), "place": 0.0005, "state": "stored", "failures": 0, "revision": 9,
                 "lastError": null},
                {"fingerprint": "63".repeat(20), "place": null, "state": "pending", "failures": 2, "revision": null,
                 "lastError": "it did not answer in time"},
            ])
        );
    }

    #[test]
    fn services_are_in_the_order_of_the_configuration() {
        let mut names = NamesBuilder::default();
        for address in ["b.onion", "c.onion", "a.onion"] {
            names.service(&address.into(), None);
        }
        let names = names.build();
        let in_order_of_addresses = ["a.onion", "b.onion", "c.onion"]
            .map(|address| ServiceReport { names: names.clone(), ..report(service(address), None, &[]) });
        let report = report_of(&state_of(in_order_of_addresses.into()), UnixTime(1_795_336_111));
        let listed: Vec<_> = report.services.iter().map(|service| service.onion_address.as_str()).collect();
        assert_eq!(listed, ["b.onion", "c.onion", "a.onion"]);
    }

    #[test]
    fn a_v2_services_descriptors_have_replicas() {
        let status = ServiceStatus {
            descriptors: vec![
                descriptor(7, 0, Some(60)),
                descriptor(7, 1, Some(30)),
                descriptor(8, 0, None),
                descriptor(8, 1, None),
            ],
            ..service("front.onion")
        };
        let now = UnixTime(1_795_336_111);
        let json: serde_json::Value =
            serde_json::from_str(&render(&state_of(vec![report(status, None, &[])]), now)).unwrap();
        let service = &json["services"][0];
        assert_eq!(service["publishAttemptFirstDescriptor"], "2026-11-22 08:28:11");
        assert_eq!(service["publishAttemptSecondDescriptor"], serde_json::Value::Null);
        let slots: Vec<_> = service["descriptors"].as_array().unwrap().iter().collect();
        assert_eq!(
            slots
                .iter()
                .map(|slot| (slot["timePeriod"].as_u64(), slot["replica"].as_u64()))
                .collect::<Vec<_>>(),
            [(Some(7), Some(0)), (Some(7), Some(1)), (Some(8), Some(0)), (Some(8), Some(1))]
        );
    }
    #[tokio::test(start_paused = true)]
    async fn events_of_all_tors_are_shown_the_latest_first() {
        let mut state = state_of(vec![]);
        state.tors.push(state.tors[0].clone());
        let (now, backend) = (Instant::now(), || "b.onion".into());
        let ago = |minutes| now - Duration::from_mins(minutes);
        let found = Notice::BackendFound { backend: backend(), points: 3, after: None };
        state.tors[0].history =
            vec![event(&found, ago(1)), event(&Notice::BackendNotFound { backend: backend() }, ago(5))];
        state.tors[1].history = vec![event(&Notice::NothingToPublish { service: "s.onion".into() }, ago(3))];
        let events = super::report(&state, UnixTime(1_795_336_111)).events;
        assert_eq!(
            serde_json::to_value(&events).unwrap(),
            serde_json::json!([
                {"at": "2026-11-22 08:27:31", "id": "BACKEND_FOUND", "warning": false, "service": null,
                 "instance": "b.onion", "text": "found backend"},
                {"at": "2026-11-22 08:25:31", "id": "NOTHING_TO_PUBLISH", "warning": true, "service": "s.onion",
                 "instance": null, "text": "nothing to publish yet: no backend was found"},
                {"at": "2026-11-22 08:23:31", "id": "BACKEND_NOT_FOUND", "warning": true, "service": null,
                 "instance": "b.onion",
                 "text": "cannot find backend b.onion: none of its HSDirs gave a descriptor. Is its tor running?"},
            ])
        );
    }

    #[test]
    fn a_tor_that_takes_no_commands_is_shown_with_the_reason() {
        let mut state = state_of(vec![]);
        state.tors[0].is_ready = false;
        for (absence, bootstrap, error) in [
            (None, json!(null), json!(null)),
            (Some(Absence::Unreachable("refused".into())), json!(null), json!("refused")),
            (
                Some(Absence::Starting { version: "0.4.9.11".into(), percent: 45, step: "Loading".into() }),
                json!(45),
                json!("Loading"),
            ),
        ] {
            state.tors[0].absence = absence;
            let json: serde_json::Value = serde_json::from_str(&render(&state, UnixTime(0))).unwrap();
            assert_has(
                &json["tors"][0],
                &json!({"ready": false, "bootstrap": bootstrap, "lastError": error}),
            );
        }
        state.tors[0].consensus = ConsensusAge::Early(Duration::from_secs(7200));
        assert_eq!(super::report(&state, UnixTime(0)).tors[0].clock_behind_seconds, 7200);
    }

    #[test]
    fn a_configuration_is_shown_with_its_last_reload() {
        let mut state = state_of(vec![]);
        let (now, since) = (UnixTime(1_795_336_111), Instant::now());
        let shown = |state: &State| super::report(state, now).configuration.unwrap();
        state.configuration = Some(Loaded { file: "/c.yaml".into(), at: since, is_reload: false });
        assert_eq!(shown(&state).last_reload, None);
        state.configuration = Some(Loaded { file: "/c.yaml".into(), at: since, is_reload: true });
        assert_eq!(shown(&state).last_reload, Some(Reload { at: Moment(now), ok: true, error: None }));
        state.reload = Some(RefusedReload { since, problem: "a tab".to_owned() });
        let refused = Reload { at: Moment(now), ok: false, error: Some("a tab".to_owned()) };
        assert_eq!(shown(&state).last_reload, Some(refused));
    }

    #[test]
    fn a_tors_load_is_shown() {
        let mut state = state_of(vec![]);
        let tor = |state: &State| {
            let json: serde_json::Value = serde_json::from_str(&render(state, UnixTime(0))).unwrap();
            json["tors"][0].clone()
        };
        assert_eq!(tor(&state)["behindForSeconds"], serde_json::Value::Null);
        state.tors[0].load = BEHIND;
        assert_has(
            &tor(&state),
            &serde_json::json!({
                "controlPorts": ["unix:/run/tor/control"], "ready": true, "since": "1970-01-01 00:00:00", "inFlight": 24, "mostInFlight": 24,
                "fetchesWaiting": 6900, "uploadsWaiting": 12, "readBacksWaiting": 0, "longestWaitSeconds": 1200,
                "behindForSeconds": 60, "postsSinceStart": 30, "postsLastDay": 40, "postsLastDaySeconds": 3600,
                "restartDue": false,
            }),
        );
    }
}
