//! The status as JSON. It has the keys of Onionbalance 0.2, so that programs that read those can read it, and
//! further ones.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use serde::Serialize;

use crate::engine::{BackendState, BackendStatus, DescriptorStatus, UploadState};
use crate::names::Names;
use crate::runtime::{ServiceReport, State, TorState};

#[derive(Serialize)]
struct Status {
    services: Vec<Service>,
    tors: Vec<Tor>,
}

/// One tor, and its load.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tor {
    control_ports: Vec<String>,
    ready: bool,
    /// The requests that are outstanding, one circuit each. `most_in_flight` is their largest number.
    in_flight: usize,
    most_in_flight: usize,
    fetches_waiting: usize,
    uploads_waiting: usize,
    read_backs_waiting: usize,
    longest_wait_seconds: u64,
    /// The time for which there has been more to do than this tor can, in seconds; null if there is not.
    behind_for_seconds: Option<u64>,
    /// Posts (HSPOST) of version-3 descriptors since tor's start, or since the balancer's if that was later.
    posts_since_start: u64,
    /// Posts within the last `posts_last_day_seconds`, a day at most.
    posts_last_day: u64,
    posts_last_day_seconds: u64,
    /// True if tor has taken as many posts since its start as `tor-restart-hint` allows.
    restart_due: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    onion_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    publish_attempt_first_descriptor: Option<String>,
    publish_attempt_second_descriptor: Option<String>,
    intro_points_num: usize,
    /// The line that clients need in their torrc; left out if the service does not authorize its clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_line: Option<String>,
    descriptors: Vec<Descriptor>,
    instances: Vec<Instance>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    time_period: u64,
    /// The replica; left out if all replicas are the same document.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<u8>,
    revision: Option<u64>,
    hsdirs: usize,
    stored: usize,
    /// The time at which an HSDir last stored it; null if none has since the start.
    last_stored: Option<String>,
}

/// Onionbalance gives an instance that it has not received another shape.
#[derive(Serialize)]
#[serde(untagged)]
enum Instance {
    #[serde(rename_all = "camelCase")]
    Received {
        onion_address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        descriptor_received: String,
        intro_set_modified: String,
        intro_points_num: usize,
        live: bool,
    },
    #[serde(rename_all = "camelCase")]
    Missing {
        onion_address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        received: Option<String>,
    },
}

/// The JSON object, with a line end.
pub(super) fn render(state: &State, now: UnixTime) -> String {
    let services = state.services().map(|report| service(report, now)).collect();
    let status = Status { services, tors: state.tors.iter().map(tor).collect() };
    // Strings, numbers and lists of them can always be rendered.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn tor(TorState { endpoints, is_ready, load, posts, .. }: &TorState) -> Tor {
    Tor {
        control_ports: endpoints.iter().map(ToString::to_string).collect(),
        ready: *is_ready,
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

fn service(report: &ServiceReport, now: UnixTime) -> Service {
    let ServiceReport { status, names, client_line } = report;
    let has_replicas = status.descriptors.iter().any(|descriptor| descriptor.slot.replica > 0);
    let mut periods: Vec<u64> = status.descriptors.iter().map(|descriptor| descriptor.slot.period).collect();
    periods.sort_unstable();
    periods.dedup();
    let attempt = |index: usize| {
        let period = periods.get(index)?;
        let of_period = status.descriptors.iter().filter(|descriptor| descriptor.slot.period == *period);
        Some(ago(of_period.filter_map(|descriptor| descriptor.published_ago).min()?, now))
    };
    Service {
        onion_address: status.service.to_string(),
        name: names.of_service(&status.service).map(ToString::to_string),
        publish_attempt_first_descriptor: attempt(0),
        publish_attempt_second_descriptor: attempt(1),
        intro_points_num: status.points,
        client_line: client_line.as_ref().map(ToString::to_string),
        descriptors: status.descriptors.iter().map(|one| descriptor(one, has_replicas, now)).collect(),
        instances: status.backends.iter().map(|backend| instance(backend, names, now)).collect(),
    }
}

fn descriptor(status: &DescriptorStatus, has_replicas: bool, now: UnixTime) -> Descriptor {
    Descriptor {
        time_period: status.slot.period,
        replica: has_replicas.then_some(status.slot.replica),
        revision: status.revision,
        hsdirs: status.hsdirs.len(),
        stored: status.hsdirs.iter().filter(|hsdir| hsdir.state == UploadState::Stored).count(),
        last_stored: status.stored_ago.map(|stored| ago(stored, now)),
    }
}

fn instance(status: &BackendStatus, names: &Names, now: UnixTime) -> Instance {
    let onion_address = status.backend.to_string();
    let name = names.of_backend(&status.backend).map(ToString::to_string);
    match status.received_ago {
        Some(received) => Instance::Received {
            onion_address,
            name,
            descriptor_received: ago(received, now),
            intro_set_modified: ago(status.changed_ago.unwrap_or(received), now),
            intro_points_num: status.points,
            live: status.state == BackendState::Live,
        },
        None => Instance::Missing { onion_address, name, received: None },
    }
}

fn ago(age: Duration, now: UnixTime) -> String {
    now.minus(age.as_secs()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ServiceStatus;
    use crate::onion_version::ClientLine;
    use crate::status::testing::{BEHIND, backend, descriptor, report, service, state_of};

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
        assert_eq!(
            json["services"],
            serde_json::json!([{
                "onionAddress": "front.onion",
                "publishAttemptFirstDescriptor": "2026-11-22 08:27:41",
                "publishAttemptSecondDescriptor": null,
                "introPointsNum": 3,
                "descriptors": [{"timePeriod": 7, "revision": 9, "hsdirs": 1, "stored": 1,
                                 "lastStored": "2026-11-22 08:27:31"}],
                "instances": [
                    {"onionAddress": "a.onion", "descriptorReceived": "2026-11-22 08:28:30",
                     "introSetModified": "2026-11-22 08:28:30", "introPointsNum": 3, "live": true},
                    {"onionAddress": "b.onion", "received": null},
                ],
            }])
        );
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
    #[test]
    fn a_tors_load_is_shown() {
        let mut state = state_of(vec![]);
        let tor = |state: &State| {
            let json: serde_json::Value = serde_json::from_str(&render(state, UnixTime(0))).unwrap();
            json["tors"][0].clone()
        };
        assert_eq!(tor(&state)["behindForSeconds"], serde_json::Value::Null);
        state.tors[0].load = BEHIND;
        assert_eq!(
            tor(&state),
            serde_json::json!({
                "controlPorts": ["unix:/run/tor/control"], "ready": true, "inFlight": 24, "mostInFlight": 24,
                "fetchesWaiting": 6900, "uploadsWaiting": 12, "readBacksWaiting": 0, "longestWaitSeconds": 1200,
                "behindForSeconds": 60, "postsSinceStart": 30, "postsLastDay": 40, "postsLastDaySeconds": 3600,
                "restartDue": false,
            })
        );
    }
}
