//! Parts of a state for tests of its forms.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use tokio::time::Instant;

use super::{Report, json};

use crate::endpoint::Endpoint;
use crate::engine::{
    BackendId, BackendState, BackendStatus, DescriptorSlot, DescriptorStatus, Health, HealthState,
    HsdirStatus, LastProbe, Load, Notice, ProbeOutcome, ServiceStatus, UploadState,
};
use crate::names::{Names, NamesBuilder};
use crate::onion_version::Rings;
use crate::runtime::{
    Activity, ConsensusAge, DescriptorReport, Durations, Fetches, Happening, PostLoad, Probes, Publications,
    ServiceReport, Signatures, State, TorState, Uploads, Words,
};
use crate::tor::documents::consensus::Lifetime;

/// A ring of the HSDirs `Fingerprint([1; 20])` to `Fingerprint([16; 20])`. Four at a time are next to each
/// other, as the HSDirs of a replica are.
#[derive(Debug)]
pub(crate) struct SmallRing;

impl Rings for SmallRing {
    fn places(&self, _: DescriptorSlot) -> HashMap<Fingerprint, f64> {
        let place = |number: u8| f64::from((number - 1) / 4) * 0.27 + f64::from(number) / 2000.0;
        (1..=16).map(|number| (Fingerprint([number; 20]), place(number))).collect()
    }
}

/// The load of a tor that is behind.
pub(crate) const BEHIND: Load = Load {
    in_flight: 24,
    most_in_flight: 24,
    posts_waiting: 12,
    looks_waiting: 6900,
    read_backs_waiting: 0,
    probes_waiting: 0,
    longest_wait: Duration::from_secs(1200),
    behind_for: Some(Duration::from_secs(60)),
};

/// The time at which the consensus of a tor became valid.
const VALID_AFTER: UnixTime = UnixTime(1_795_334_400);

/// The posts of a tor within an hour.
const POSTS: PostLoad =
    PostLoad { since_start: 30, last_day: 40, day: Duration::from_secs(3600), is_restart_due: false };

/// The signer's answers within an hour.
const SIGNATURES: Signatures = Signatures { signed: 412, refused: 1, failed: 2, took: SIGNATURE_TIMES };
const SIGNATURE_TIMES: Durations<9> =
    Durations { counts: [0, 30, 380, 4, 0, 0, 0, 0, 0], longer: 1, sum: Duration::from_millis(3160) };
/// The publications within an hour.
const PUBLICATIONS: Publications =
    Durations { counts: [0, 0, 1, 3, 0, 0, 0, 0], longer: 0, sum: Duration::from_millis(13_500) };

/// The state after an hour, with these services at one tor.
pub(crate) fn state_of(services: Vec<ServiceReport>) -> State {
    let (uptime, endpoints) = (Duration::from_secs(3600), vec![Endpoint::Unix("/run/tor/control".into())]);
    let consensus = ConsensusAge::Current;
    let (load, posts) = (Load::default(), POSTS);
    let tor = TorState {
        endpoints,
        is_ready: true,
        since: uptime,
        version: Some("0.4.9.11".to_owned()),
        absence: None,
        reconnects: 2,
        hsdirs: Some(4538),
        lifetime: Lifetime::new(VALID_AFTER, VALID_AFTER.plus(3600), VALID_AFTER.plus(3 * 3600)),
        consensus,
        load,
        posts,
        signatures: SIGNATURES,
        rings: Some(Arc::new(SmallRing)),
        services,
        history: vec![],
    };
    State { uptime, tors: vec![tor], ..State::default() }
}

/// The report on a state.
pub(crate) fn report_of(state: &State, now: UnixTime) -> Report {
    json::report(state, now)
}

/// A notice of this time.
pub(crate) fn event(notice: &Notice, at: Instant) -> Arc<Happening> {
    Arc::new(Happening { at, words: Words::of(notice, &Names::default()) })
}

/// A service with three introduction points, without descriptors and backends.
pub(crate) fn service(address: &str) -> ServiceStatus {
    ServiceStatus {
        service: address.into(),
        points: 3,
        stale_for: None,
        drained_serve_for: None,
        unwell_serve_for: None,
        descriptors: vec![],
        backends: vec![],
    }
}

/// A report with the names that the operator gave the service and its backends; the latter as pairs of
/// address and name. If no backend has a share, those that serve get equal ones.
pub(crate) fn report(
    mut status: ServiceStatus,
    name: Option<&str>,
    backends: &[(&str, &str)],
) -> ServiceReport {
    share_alike(&mut status.backends);
    let mut names = NamesBuilder::default();
    names.service(&status.service, name.map(|name| name.parse().unwrap()).as_ref());
    for (address, name) in backends {
        names.backend(&status.service, &BackendId::from(*address), &name.parse().unwrap());
    }
    let period = Some(UnixTime(1_795_305_600)..UnixTime(1_795_392_000));
    let uploads = Uploads { begun: 20, acknowledged: 16, refused: 1, failed: 2 };
    let fetches = Fetches { begun: 50, copy: 40, not_found: 6, failed: 3, invalid: 0 };
    ServiceReport {
        descriptors: vec![DescriptorReport { period, bytes: Some(20_480) }; status.descriptors.len()],
        uploads,
        publications: PUBLICATIONS,
        activity: Activity::default(),
        fetches: vec![fetches; status.backends.len()],
        probes: vec![Probes::default(); status.backends.len()],
        status,
        names: names.build(),
        client_line: None,
    }
}

/// Gives equal shares to the backends that serve, unless one has a share.
fn share_alike(backends: &mut [BackendStatus]) {
    let serves = |of: &BackendStatus| of.state == BackendState::Live && !of.is_drained();
    let serving = u32::try_from(backends.iter().filter(|of| serves(of)).count()).unwrap();
    if serving > 0 && backends.iter().all(|backend| backend.share.is_none()) {
        for backend in backends {
            backend.share = Some(if serves(backend) { 1.0 / f64::from(serving) } else { 0.0 });
        }
    }
}

/// A descriptor with one HSDir, which stored it this number of seconds ago, ten seconds before it was last
/// published.
pub(crate) fn descriptor(period: u64, replica: u8, stored_ago: Option<u64>) -> DescriptorStatus {
    let hsdir = HsdirStatus {
        hsdir: Fingerprint([1; 20]),
        state: UploadState::Stored,
        revision: Some(9),
        problem: None,
    };
    DescriptorStatus {
        slot: DescriptorSlot { period, replica },
        published_ago: stored_ago.map(|ago| Duration::from_secs(ago - 10)),
        stored_ago: stored_ago.map(Duration::from_secs),
        incomplete_for: None,
        renewal_in: stored_ago.map(|_| Duration::from_secs(3000)),
        revision: Some(9),
        sets: 1,
        points: 3,
        other_ago: None,
        hsdirs: vec![hsdir],
    }
}

/// The health of a backend that answered 20 seconds ago.
pub(crate) fn well() -> Health {
    let last = LastProbe {
        ago: Duration::from_secs(20),
        outcome: ProbeOutcome::Succeeded(Duration::from_millis(1200)),
    };
    Health { state: HealthState::Well, unwell_for: None, failures: 0, successes: 9, last: Some(last) }
}

/// The health of a backend that has been unwell for 12 minutes, for this reason.
pub(crate) fn unwell(reason: &str) -> Health {
    let last = LastProbe { ago: Duration::from_secs(5), outcome: ProbeOutcome::Failed(reason.into()) };
    let unwell_for = Some(Duration::from_mins(12));
    Health { state: HealthState::Unwell, unwell_for, failures: 25, successes: 0, last: Some(last) }
}

/// A probe that was not made, for this reason.
pub(crate) fn unmade(reason: &str) -> LastProbe {
    LastProbe { ago: Duration::from_secs(5), outcome: ProbeOutcome::Unmade(reason.into()) }
}

/// A live backend whose descriptor was received this number of seconds ago.
pub(crate) fn backend(name: &str, received_ago: Option<u64>) -> BackendStatus {
    let received_ago = received_ago.map(Duration::from_secs);
    BackendStatus {
        backend: name.into(),
        state: BackendState::Live,
        missing_for: None,
        asked_ago: received_ago,
        period: Some(7),
        revision: Some(5),
        published: None,
        received_ago,
        changed_ago: received_ago,
        points: 3,
        weight: 1,
        drain: None,
        share: None,
        wished_share: None,
        health: None,
        sources: vec![],
    }
}
