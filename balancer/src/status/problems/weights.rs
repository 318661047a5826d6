//! The problems of backends whose weights cannot be followed.

use onionbalance_proto::time::UnixTime;

use super::super::problem::{Problem, ProblemId, Severity};
use crate::engine::ServiceStatus;
use crate::names::Names;

/// The difference between a backend's share of the visitors and the one that its weight asks for, from
/// which on it is a problem. A point of a full descriptor has a twentieth of its visitors: points cannot
/// follow weights more closely than that everywhere, and the chance by which visitors choose hides smaller
/// differences.
const UNMET: f64 = 0.05;

/// The problem with the weights of a service; `None` if there is none.
pub(super) fn of_weights(service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    drained_serve(service, names, now).or_else(|| unmet(service, names))
}

/// Drained backends that serve because no other one is live; `None` if all is as it should be.
fn drained_serve(service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    let time = service.drained_serve_for?;
    let name = names.service(&service.service);
    let text = format!("{name}: drained backends get all visitors, because no other one is live");
    let remedy = "start another backend, give one a weight, or enable one:  onionbalance enable BACKEND";
    let problem = Problem::new(ProblemId::DrainedServe, Severity::Warning, text, remedy);
    Some(problem.lasting(Some(time), now).of_service(&service.service))
}

/// The backend whose share differs most from the one that its weight asks for; `None` if all are near to it.
fn unmet(service: &ServiceStatus, names: &Names) -> Option<Problem> {
    let shares = service.backends.iter().filter_map(|of| Some((of, of.share?, of.wished_share?)));
    let differences = shares.map(|(of, share, wished)| (of, share, wished, (share - wished).abs()));
    let (of, share, wished, _) =
        differences.filter(|(.., by)| *by > UNMET).max_by(|(.., a), (.., b)| a.total_cmp(b))?;
    let (name, backend) = (names.service(&service.service), names.backend(&of.backend));
    let (share, wished) = (share * 100.0, wished * 100.0);
    let text =
        format!("{name}: {backend} gets {share:.0} % of the visitors; its weight asks for {wished:.0} %");
    let remedy = "give the backend with the greatest weight more introduction points:  \
                  HiddenServiceNumIntroductionPoints in its torrc";
    let problem = Problem::new(ProblemId::WeightsUnmet, Severity::Warning, text, remedy);
    Some(problem.of_service(&service.service).of_backend(&of.backend))
}
