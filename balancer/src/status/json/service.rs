//! The part of the report about one service.

use std::collections::HashMap;
use std::sync::Arc;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::super::moment::Moment;
use super::super::report::{
    Answers, Descriptor, DrainedBy, Fetches, HealthCheck, HealthState, Hsdir, Instance, InstanceState,
    Received, Service, Upload, Uploads, Which,
};
use super::super::verdict::ServiceHealths;
use super::{ago, durations};
use crate::engine::{
    self, BackendState, BackendStatus, DescriptorSlot, DescriptorStatus, Health, HsdirAnswer, HsdirStatus,
    ProbeOutcome, SourceStatus, UploadProblem, UploadState,
};
use crate::names::Names;
use crate::onion_version::Rings;
use crate::runtime::{self, DescriptorReport, PROBE_BOUNDS, PUBLICATION_BOUNDS, Probes, ServiceReport};

/// The places of HSDirs on the rings of a report. Tors that have the same consensus share its rings.
#[derive(Default)]
pub(super) struct KnownRings(HashMap<(*const (), u64), HashMap<Fingerprint, f64>>);

impl KnownRings {
    /// The places on the ring of the descriptor in this slot.
    fn places(&mut self, rings: &Arc<dyn Rings>, slot: DescriptorSlot) -> &HashMap<Fingerprint, f64> {
        let KnownRings(known) = self;
        known.entry((Arc::as_ptr(rings).cast(), slot.period)).or_insert_with(|| rings.places(slot))
    }
}

pub(super) fn service(
    report: &ServiceReport,
    rings: Option<&Arc<dyn Rings>>,
    known: &mut KnownRings,
    healths: &ServiceHealths<'_>,
    now: UnixTime,
) -> Service {
    let ServiceReport { status, names, client_line, descriptors, uploads, publications, .. } = report;
    let has_replicas = status.descriptors.iter().any(|descriptor| descriptor.slot.replica > 0);
    let mut numbers: Vec<u64> = status.descriptors.iter().map(|descriptor| descriptor.slot.period).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let attempt = |index: usize| {
        let period = numbers.get(index)?;
        let of_period = status.descriptors.iter().filter(|descriptor| descriptor.slot.period == *period);
        Some(ago(of_period.filter_map(|descriptor| descriptor.published_ago).min()?, now))
    };
    let descriptor = |(one, of): (&DescriptorStatus, &DescriptorReport)| {
        let is_first = numbers.first() == Some(&one.slot.period);
        let which = if is_first { Which::First } else { Which::Second };
        let places = rings.map(|rings| known.places(rings, one.slot));
        descriptor(one, of, which, places, has_replicas, now)
    };
    let backends = status.backends.iter().zip(&report.fetches).zip(&report.probes);
    Service {
        onion_address: status.service.to_string(),
        name: names.of_service(&status.service).map(ToString::to_string),
        health: healths.of(status),
        publish_attempt_first_descriptor: attempt(0),
        publish_attempt_second_descriptor: attempt(1),
        intro_points_num: status.points,
        all_gone_since: status.stale_for.map(|stale| ago(stale, now)),
        delegation_ends: None,
        uploads: uploads_of(*uploads),
        publications: durations(&PUBLICATION_BOUNDS, publications),
        client_line: client_line.as_ref().map(ToString::to_string),
        descriptors: status.descriptors.iter().zip(descriptors).map(descriptor).collect(),
        instances: backends
            .map(|((of, fetches), probes)| Instance {
                health_check: of.health.as_ref().map(|health| health_check(health, probes, now)),
                ..instance(of, *fetches, names, now)
            })
            .collect(),
    }
}

fn descriptor(
    status: &DescriptorStatus,
    DescriptorReport { period, bytes }: &DescriptorReport,
    which: Which,
    places: Option<&HashMap<Fingerprint, f64>>,
    has_replicas: bool,
    now: UnixTime,
) -> Descriptor {
    let is_stored = |hsdir: &&HsdirStatus| hsdir.state == UploadState::Stored;
    let place = |of: &HsdirStatus| places.and_then(|places| places.get(&of.hsdir).copied());
    Descriptor {
        which,
        time_period: status.slot.period,
        period_begins: period.as_ref().map(|period| Moment(period.start)),
        period_ends: period.as_ref().map(|period| Moment(period.end)),
        replica: has_replicas.then_some(status.slot.replica),
        revision: status.revision,
        intro_points_num: status.points,
        sets: status.sets,
        bytes: *bytes,
        hsdirs: status.hsdirs.len(),
        stored: status.hsdirs.iter().filter(is_stored).count(),
        last_stored: status.stored_ago.map(|stored| ago(stored, now)),
        incomplete_since: status.incomplete_for.map(|time| ago(time, now)),
        other_publisher_seen: status.other_ago.map(|time| ago(time, now)),
        next_publication: status.renewal_in.map(|time| Moment(now.plus(time.as_secs()))),
        hsdir_states: status.hsdirs.iter().map(|of| hsdir(of, place(of))).collect(),
    }
}

fn hsdir(status: &HsdirStatus, place: Option<f64>) -> Hsdir {
    let (state, failures) = match status.state {
        UploadState::Pending { failures } => (Upload::Pending, failures),
        UploadState::Signing => (Upload::Signing, 0),
        UploadState::Uploading => (Upload::Uploading, 0),
        UploadState::Acknowledged => (Upload::Acknowledged, 0),
        UploadState::Stored => (Upload::Stored, 0),
        UploadState::Refused => (Upload::Refused, 0),
        UploadState::Unknown => (Upload::UnknownToTor, 0),
    };
    let last_error = status.problem.map(|problem| match problem {
        UploadProblem::Failed => "the upload did not reach it",
        UploadProblem::Silent => "it did not answer in time",
        UploadProblem::Refused => "it refused the descriptor",
        UploadProblem::NotHeld => "it acknowledged the descriptor and does not hold it",
        UploadProblem::Unproven => "the descriptor could not be read back from it",
    });
    Hsdir {
        fingerprint: status.hsdir.to_string(),
        place,
        state,
        failures,
        revision: status.revision,
        last_error: last_error.map(Into::into),
    }
}

fn instance(status: &BackendStatus, fetches: runtime::Fetches, names: &Names, now: UnixTime) -> Instance {
    let received = match status.received_ago {
        Some(received) => Received::Yes {
            descriptor_received: ago(received, now),
            intro_set_modified: ago(status.changed_ago.unwrap_or(received), now),
            intro_points_num: status.points,
            live: status.state == BackendState::Live,
        },
        None => Received::No { received: None },
    };
    let state = match status.state {
        _ if status.is_drained() => InstanceState::Drained,
        BackendState::Unknown => InstanceState::Unknown,
        BackendState::NotFound => InstanceState::NotFound,
        BackendState::Live if status.is_unwell() => InstanceState::Unwell,
        BackendState::Live => InstanceState::Live,
        BackendState::Gone(_) => InstanceState::Gone,
    };
    Instance {
        onion_address: status.backend.to_string(),
        name: names.of_backend(&status.backend).map(ToString::to_string),
        received,
        state,
        missing_since: status.missing_for.map(|time| ago(time, now)),
        last_look: status.asked_ago.map(|time| ago(time, now)),
        share: status.share.map(to_thousandths),
        weight: status.weight,
        drained: status.is_drained(),
        drained_by: drained_by(status),
        drained_until: drained_until(status),
        health_check: None,
        answers: answers(&status.sources),
        fetches: fetches_of(fetches),
    }
}

fn health_check(health: &Health, probes: &Probes, now: UnixTime) -> HealthCheck {
    let state = match health.state {
        engine::HealthState::Unknown => HealthState::Unknown,
        engine::HealthState::Well => HealthState::Well,
        engine::HealthState::Failing => HealthState::Failing,
        engine::HealthState::Unwell => HealthState::Unwell,
    };
    let last = health.last.as_ref();
    let (last_seconds, last_error) = match last.map(|last| &last.outcome) {
        None => (None, None),
        Some(ProbeOutcome::Succeeded(took)) => (Some(took.as_secs_f64()), None),
        Some(ProbeOutcome::Failed(reason) | ProbeOutcome::Unmade(reason)) => (None, Some(reason.to_string())),
    };
    HealthCheck {
        state,
        unwell_since: health.unwell_for.map(|time| ago(time, now)),
        failures: health.failures,
        successes: health.successes,
        last_probe: last.map(|last| ago(last.ago, now)),
        last_seconds,
        last_error,
        probes: probes.results.iter().map(|(result, count)| ((*result).to_owned(), *count)).collect(),
        probe_times: durations(&PROBE_BOUNDS, &probes.took),
    }
}

/// The cause of a backend's drain; `None` if it is not drained. A weight of 0 comes first: no command ends it.
fn drained_by(status: &BackendStatus) -> Option<DrainedBy> {
    if status.weight == 0 { Some(DrainedBy::Weight) } else { status.drain.map(|_| DrainedBy::Command) }
}

/// The time at which a backend's drain ends by itself; `None` if it does not.
fn drained_until(status: &BackendStatus) -> Option<Moment> {
    if status.weight == 0 { None } else { status.drain?.until.map(Moment) }
}

fn uploads_of(runtime::Uploads { begun, acknowledged, refused, failed }: runtime::Uploads) -> Uploads {
    Uploads { begun, acknowledged, refused, failed }
}

fn fetches_of(of: runtime::Fetches) -> Fetches {
    let runtime::Fetches { begun, copy, not_found, failed, invalid } = of;
    Fetches { begun, copy, not_found, failed, invalid }
}

fn answers(sources: &[SourceStatus]) -> Answers {
    let mut answers = Answers::default();
    for answer in sources.iter().filter_map(|source| source.answer) {
        let count = match answer {
            HsdirAnswer::Copy { .. } => &mut answers.copy,
            HsdirAnswer::NotFound => &mut answers.not_found,
            HsdirAnswer::Failed => &mut answers.failed,
            HsdirAnswer::Invalid => &mut answers.invalid,
            HsdirAnswer::Silent => &mut answers.silent,
        };
        *count += 1;
    }
    answers
}

/// A share with three decimals.
fn to_thousandths(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}
