//! The frontend's descriptor: composed for the signer, and checked as a client would before it is published.

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::document::{self, Descriptor, DocumentError, publication_time};
use onionbalance_proto::v2::{Cookie, OnionAddress};
use onionbalance_proto::wire::v2::{ChosenPoint, FrontendRequest};

use super::backend::BackendPoint;
use super::schedule::DescriptorTerm;

/// The reason for which a signed text is not the descriptor that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrontendError {
    /// A client could not use the text.
    #[error("the signed descriptor does not open: {0}")]
    Document(#[from] DocumentError),
    /// The text lists other points, or has other values for them.
    #[error("the signed descriptor is not the one that was asked for")]
    Different,
}

/// The request for a descriptor that lists `points`, published at `now`. With `client_authorization` only
/// clients that hold one of the backends' cookies can read it.
pub fn compose(
    service: &OnionAddress,
    term: DescriptorTerm,
    points: &[BackendPoint],
    client_authorization: bool,
    now: UnixTime,
) -> FrontendRequest {
    let mut backends: Vec<String> = Vec::new();
    let mut chosen = Vec::with_capacity(points.len());
    for BackendPoint { index, backend, .. } in points {
        let known = backends.iter().position(|known| *known == backend.text).unwrap_or_else(|| {
            backends.push(backend.text.clone());
            backends.len() - 1
        });
        // The engine chooses at most ten points.
        chosen.push(ChosenPoint { backend: u8::try_from(known).unwrap_or(u8::MAX), point: *index });
    }
    FrontendRequest {
        service: *service.permanent_id(),
        period: term.period.0,
        replica: term.replica.into(),
        published: publication_time(now),
        backends,
        points: chosen,
        client_authorization,
    }
}

/// Opens the signed `text` as a client would, with `cookie` if clients need one, and compares it with the
/// request.
///
/// # Errors
/// A client could not use the text, or it is not what was asked for.
pub fn check(
    text: &str,
    service: &OnionAddress,
    term: DescriptorTerm,
    points: &[BackendPoint],
    cookie: Option<&Cookie>,
) -> Result<Descriptor, FrontendError> {
    let descriptor = document::open(text, service, &[term.period], cookie)?;
    let wanted: Vec<IntroductionPoint> = points.iter().map(|point| point.point).collect();
    if descriptor.points != wanted || descriptor.replica != term.replica {
        return Err(FrontendError::Different);
    }
    Ok(descriptor)
}

/// The cookie of one of the frontend's clients; `None` if it does not authorize them. It has to if a backend
/// does, because that drops the introductions of clients without a cookie (tor:
/// `rend_service_validate_intro_late`).
pub fn client_cookie(backends: &[InstanceV2]) -> Option<&Cookie> {
    backends.iter().find_map(|backend| backend.auth.as_ref())
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::v2::Backend;
    use onionbalance_proto::v2::document::Readers;
    use onionbalance_proto::v2::{AuthType, TimePeriod};
    use rand_core::OsRng;

    use super::*;
    use crate::v2::backend;

    const NOW: UnixTime = UnixTime(1_795_336_111);
    const KEYS: [&str; 2] = [
        include_str!("../../../proto/testdata/v2/pem-plain.key"),
        include_str!("../../../proto/testdata/v2/onionbalance.key"),
    ];
    const FRONTEND: &str = include_str!("../../../proto/testdata/v2/frontend1.key");

    fn points(of: &Backend, count: usize) -> Vec<BackendPoint> {
        let text = of.text(&of.publish(NOW, count, &mut OsRng), Readers::Everyone, &mut OsRng);
        let instance = InstanceV2::new(of.address());
        backend::open(&instance, TimePeriod::at(NOW, &of.address()), &text, NOW).unwrap().points
    }

    fn some_points() -> Vec<BackendPoint> {
        let [first, second] = KEYS.map(|key| points(&Backend::from_pem(key), 3));
        // The engine gives the points in no order of backends.
        vec![first[2].clone(), second[0].clone(), first[0].clone()]
    }

    fn frontend() -> Backend {
        Backend::from_pem(FRONTEND)
    }

    fn term() -> DescriptorTerm {
        DescriptorTerm::both(TimePeriod::at(NOW, &frontend().address()))[1]
    }

    #[test]
    fn names_points_by_the_descriptors_that_list_them() {
        let points = some_points();
        let request = compose(&frontend().address(), term(), &points, false, NOW);
        assert_eq!(request.backends, [points[0].backend.text.clone(), points[1].backend.text.clone()]);
        let chosen = |backend, point| ChosenPoint { backend, point };
        assert_eq!(request.points, [chosen(0, 2), chosen(1, 0), chosen(0, 0)]);
        assert_eq!((request.replica, request.period), (1, term().period.0));
        assert_eq!(request.published, UnixTime(NOW.0 - NOW.0 % 3600));
    }

    /// The text of an honest signer for these points.
    fn signed(points: &[BackendPoint], readers: Readers<'_>) -> String {
        let descriptor = Descriptor {
            period: term().period,
            replica: term().replica,
            published: publication_time(NOW),
            points: points.iter().map(|point| point.point).collect(),
        };
        frontend().text(&descriptor, readers, &mut OsRng)
    }

    #[test]
    fn opens_what_comes_back() {
        let points = some_points();
        let check = |text: &str, points: &[BackendPoint], cookie| {
            check(text, &frontend().address(), term(), points, cookie).map(drop)
        };
        assert_eq!(check(&signed(&points, Readers::Everyone), &points, None), Ok(()));
        assert_eq!(
            check(&signed(&points[1..], Readers::Everyone), &points, None),
            Err(FrontendError::Different)
        );
        let cookies = [Cookie::new([1; 16], AuthType::Basic)];
        let sealed = signed(&points, Readers::Basic(&cookies));
        assert_eq!(check(&sealed, &points, Some(&cookies[0])), Ok(()));
        assert!(matches!(check(&sealed, &points, None), Err(FrontendError::Document(_))));
    }
}
