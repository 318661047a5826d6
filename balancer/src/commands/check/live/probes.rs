//! One probe of each backend that has a health check, made as the balancer makes it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use onionbalance_proto::config::{HealthCheck, ProbeKind};
use tokio::time::{Instant, timeout_at};

use super::backends::Backend;
use super::row::{Row, Verdict};
use crate::network::{Message, Network, Probe, ProbeFailure, Probed, RequestId};
use crate::plural::count;

/// The most probes at a time, as many as visits.
const AT_ONCE: usize = 8;

/// The time after the last beginning of a probe after which none is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// The number of the first request. Those of lookups begin with 0.
const FIRST: u64 = 1 << 32;

/// Probes those of `backends` that have a health check. None is begun after `end`. Returns a row for each.
pub(super) async fn make(network: &mut impl Network, backends: &[Backend], end: Instant) -> Vec<Row> {
    let checked = backends.iter().filter_map(|backend| Some((backend, backend.check.as_ref()?)));
    let (known, unknown): (Vec<_>, Vec<_>) =
        checked.zip(FIRST..).partition(|((_, check), _)| has_host(check));
    let without_host = |((backend, _), number): ((&Backend, _), _)| (number, backend.without_host());
    // The number of each backend is its place among the rows.
    let mut rows: BTreeMap<u64, Row> = unknown.into_iter().map(without_host).collect();
    let mut waiting = known.iter();
    let mut asked: HashMap<RequestId, &Backend> = HashMap::new();
    let mut unmade: Vec<String> = Vec::new();
    loop {
        while asked.len() < AT_ONCE && Instant::now() < end {
            let Some(((backend, check), number)) = waiting.next() else { break };
            let (request, address) = (RequestId(*number), backend.address.clone());
            network.probe(request, Probe { address, check: (*check).clone() });
            asked.insert(request, backend);
        }
        if asked.is_empty() {
            break;
        }
        match timeout_at(end + ANSWER_WITHIN, network.next()).await {
            Ok(Message::Probed(request, probed)) => {
                let Some(backend) = asked.remove(&request) else { continue };
                match probed {
                    Probed::Succeeded(time) => drop(rows.insert(request.0, backend.probed(Ok(time)))),
                    Probed::Failed(failure) => drop(rows.insert(request.0, backend.probed(Err(&failure)))),
                    Probed::Unmade(reason) => unmade.push(reason),
                }
            }
            Ok(Message::Lost) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    let left = asked.len() + waiting.count();
    if left > 0 {
        let text = format!("health checks: {} not probed in time", count(left, "backend"));
        rows.push(Row::new(Verdict::Unknown, "tor", text));
    }
    if let Some(reason) = unmade.first() {
        let text = format!("health checks: {} not probed: {reason}", count(unmade.len(), "backend"));
        rows.push(Row::new(Verdict::Error, "tor", text));
    }
    rows
}

/// True unless the host is the frontend's address and is not known.
fn has_host(check: &HealthCheck) -> bool {
    !matches!(&check.kind, ProbeKind::Http(probe) if probe.host.is_none())
}

impl Backend {
    /// The row about its probe: the time of its answer, or the failure.
    fn probed(&self, result: Result<Duration, &ProbeFailure>) -> Row {
        let row = |verdict, text: String| Row::new(verdict, &self.subject, text).at(self.line);
        let failure = match result {
            Ok(time) => {
                let text = format!("passes its health check in {:.1} s", time.as_secs_f64());
                return row(Verdict::Ok, text);
            }
            Err(failure) => failure,
        };
        let text = format!("does not pass its health check: {failure}");
        if self.is_drained {
            return row(Verdict::Ok, format!("drained, and {text}"));
        }
        row(Verdict::Error, text).with_details(self.remedy(failure))
    }

    fn remedy(&self, failure: &ProbeFailure) -> Option<String> {
        let port = self.check.as_ref().map_or(0, |check| check.port);
        match failure {
            ProbeFailure::Refused => Some(format!(
                "does it serve port {port}? Its HiddenServicePort says so, and the program behind it runs"
            )),
            ProbeFailure::Tor(0x01..=0x06) => Some(
                "with `ExtendedErrors` behind the SocksPort in this tor's torrc, the reason is told"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn without_host(&self) -> Row {
        let text = "not probed: only the signer knows the frontend's address, which is the request's host";
        Row::new(Verdict::Unknown, &self.subject, text).at(self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(result: Result<Duration, &ProbeFailure>, is_drained: bool) -> (Verdict, String, usize) {
        let check = HealthCheck {
            port: 8080,
            kind: ProbeKind::Connect,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(20),
            fall: 2,
            rise: 2,
        };
        let backend = Backend { is_drained, ..Backend::checked("web1", check) };
        let row = backend.probed(result);
        (row.verdict, row.text, row.details.len())
    }

    #[test]
    fn a_probe_has_its_time_or_its_failure() {
        let passed = row(Ok(Duration::from_millis(1240)), false);
        assert_eq!(passed, (Verdict::Ok, "passes its health check in 1.2 s".into(), 0));
        let failed = row(Err(&ProbeFailure::Status(503)), false);
        assert_eq!(failed, (Verdict::Error, "does not pass its health check: HTTP status 503".into(), 0));
        let drained = row(Err(&ProbeFailure::NoDescriptor), true);
        let text = "drained, and does not pass its health check: no HSDir has its descriptor";
        assert_eq!(drained, (Verdict::Ok, text.into(), 0));
        for failure in [ProbeFailure::Refused, ProbeFailure::Tor(1)] {
            assert_eq!(row(Err(&failure), false).2, 1);
        }
    }
}
