//! The part of the report about the health check of a backend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Durations;
use crate::status::moment::Moment;

/// The state of a backend by its health check.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The verdict.
    pub state: HealthState,
    /// The time since which it has been unwell; null if it is not.
    pub unwell_since: Option<Moment>,
    /// The number of probes that have failed in a row until now.
    pub failures: u32,
    /// The number of probes that have succeeded in a row until now.
    pub successes: u32,
    /// The end of the last probe; null before the first.
    pub last_probe: Option<Moment>,
    /// The time that the last probe took, in seconds; null before the first, or if it did not succeed.
    pub last_seconds: Option<f64>,
    /// The reason for which the last probe failed or was not made, a part of a sentence; null before the
    /// first, or if it succeeded.
    pub last_error: Option<String>,
    /// The numbers of probes since the start by their results, for instance `success`, `refused` and
    /// `silent`.
    pub probes: BTreeMap<String, u64>,
    /// The times that successful probes took.
    pub probe_times: Durations,
}

/// The verdict of a health check.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthState {
    /// It was not probed yet, or not since its introduction points changed.
    Unknown,
    /// Its probes succeed.
    Well,
    /// Its last probes failed, and it gets visitors still: they are too few, or all backends' probes fail.
    Failing,
    /// Its probes fail, so that it gets no visitors.
    Unwell,
}
