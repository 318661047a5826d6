//! Problems that an operator should know of, each with its remedy.

use std::fmt;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::engine::{BackendId, ServiceId};

/// A problem, in words.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// The kind of problem, which `docs/operations.md` explains.
    pub id: ProblemId,
    /// Its severity.
    pub severity: Severity,
    /// The time at which it began; `None` if that is not known.
    #[serde(default)]
    pub since: Option<Moment>,
    /// The address of the service that it is about; `None` if it is about none, or about several.
    #[serde(default)]
    pub service: Option<String>,
    /// The address of the backend that it is about; `None` if it is about none.
    #[serde(default)]
    pub instance: Option<String>,
    /// One sentence about what is wrong, without a full stop.
    pub text: String,
    /// The remedy, without a full stop.
    pub remedy: String,
}

/// The effect of a problem on the visitors of a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Visitors notice nothing, and the health stays as it is: something could be better.
    Advice,
    /// Visitors get through, but somebody should act.
    Warning,
    /// Visitors do not get through, or soon will not.
    Critical,
}

/// The kinds of problems. An id keeps its meaning forever.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProblemId {
    /// The signer does not answer.
    SignerUnreachable,
    /// Tor's control port does not answer.
    TorUnreachable,
    /// Tor is reached, and is not ready.
    TorBootstrapping,
    /// Tor has no current consensus.
    TorConsensusOld,
    /// This machine's clock is behind tor's consensus.
    ClockSkew,
    /// There is more to do than one tor can.
    TorOverloaded,
    /// Tor has taken so many posts that it should be restarted.
    TorRestartDue,
    /// No HSDir has ever had a backend's descriptor.
    BackendNotFound,
    /// A backend that was live is gone.
    BackendGone,
    /// An HSDir gave a descriptor of a backend that is not valid.
    BackendInvalid,
    /// The probes of a backend fail.
    BackendUnwell,
    /// All backends of a service are gone.
    AllBackendsGone,
    /// The probes of all backends of a service fail.
    AllBackendsUnwell,
    /// Backends of a service cannot be probed.
    ProbesUnmade,
    /// No HSDir has a descriptor of a service.
    NotPublished,
    /// Some HSDirs lack a descriptor of a service.
    DescriptorIncomplete,
    /// Some HSDirs refuse a descriptor of a service.
    DescriptorRefused,
    /// An HSDir has a descriptor of a service that the balancer did not publish.
    OtherPublisher,
    /// Some backends get another part of the visitors than their weights ask for.
    WeightsUnmet,
    /// Drained backends serve, because no other one is live.
    DrainedServe,
    /// A reload was refused.
    ReloadRefused,
    /// The delegation of a service ends within a week.
    DelegationEnding,
    /// The delegation of a service has ended: nothing can be signed.
    DelegationEnded,
    /// The balancer runs as root.
    RunsAsRoot,
    /// The kernel lacks what the balancer is confined by.
    NotConfined,
}

impl ProblemId {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::SignerUnreachable,
        Self::TorUnreachable,
        Self::TorBootstrapping,
        Self::TorConsensusOld,
        Self::ClockSkew,
        Self::TorOverloaded,
        Self::TorRestartDue,
        Self::BackendNotFound,
        Self::BackendGone,
        Self::BackendInvalid,
        Self::BackendUnwell,
        Self::AllBackendsGone,
        Self::AllBackendsUnwell,
        Self::ProbesUnmade,
        Self::NotPublished,
        Self::DescriptorIncomplete,
        Self::DescriptorRefused,
        Self::OtherPublisher,
        Self::WeightsUnmet,
        Self::DrainedServe,
        Self::ReloadRefused,
        Self::DelegationEnding,
        Self::DelegationEnded,
        Self::RunsAsRoot,
        Self::NotConfined,
    ];
}

/// As in the status, for instance `BACKEND_GONE`.
impl fmt::Display for ProblemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Problem {
    /// A problem of nothing in particular, that began at an unknown time.
    pub(super) fn new(id: ProblemId, severity: Severity, text: String, remedy: impl Into<String>) -> Self {
        Self { id, severity, since: None, service: None, instance: None, text, remedy: remedy.into() }
    }

    /// The problem that has lasted for `time`, at the time `now`; `None` if that is not known.
    pub(super) fn lasting(self, time: Option<Duration>, now: UnixTime) -> Self {
        Self { since: time.map(|time| Moment(now.minus(time.as_secs()))), ..self }
    }

    /// The problem of this service.
    pub(super) fn of_service(self, service: &ServiceId) -> Self {
        Self { service: Some(service.to_string()), ..self }
    }

    /// The problem of this backend.
    pub(super) fn of_backend(self, backend: &BackendId) -> Self {
        Self { instance: Some(backend.to_string()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_a_section_in_the_manual() {
        let manual = include_str!("../../../docs/operations.md");
        let heads = manual.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
        let ids = ProblemId::ALL.map(|id| id.to_string());
        assert_eq!(heads.collect::<Vec<_>>(), ids);
    }
}
