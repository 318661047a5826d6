//! The frontend's descriptor: put together for the signer, and looked at as a client would before it goes out.

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::{self, DocumentError, PeriodKeys};
use onionbalance_proto::v3::keys::{AuthKey, EncKey};
use onionbalance_proto::v3::{FlowControl, OnionAddress};
use onionbalance_proto::wire::{BackendProof, FrontendRequest, ProvenPoint};

use super::backend::BackendPoint;
use super::schedule::DescriptorTerm;
use crate::engine::Point;

/// What the signer returned is not what was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrontendError {
    /// A client could not use it.
    #[error("the signed descriptor does not open: {0}")]
    Document(#[from] DocumentError),
    /// It lists other points, or says other things of them.
    #[error("the signed descriptor is not the one that was asked for")]
    Different,
}

/// The request for one descriptor that lists `points`.
pub fn compose(
    service: &OnionAddress,
    term: &DescriptorTerm,
    points: &[BackendPoint],
    revision_seen: u64,
) -> FrontendRequest {
    let mut backends: Vec<BackendProof> = Vec::new();
    let mut proven = Vec::with_capacity(points.len());
    for BackendPoint { point, backend } in points {
        let proof = BackendProof::new(&backend.address, backend.period.number, &backend.signing_cert);
        let index = backends.iter().position(|known| *known == proof).unwrap_or_else(|| {
            backends.push(proof);
            backends.len() - 1
        });
        // The engine chooses no more than 20 points: their backends and indices fit a byte.
        proven.push(ProvenPoint::new(u8::try_from(index).unwrap_or(u8::MAX), point));
    }
    FrontendRequest {
        service: *service.identity(),
        period_length: term.period.length.into(),
        period_number: term.period.number,
        backends,
        sets: vec![(0..=u8::MAX).take(points.len()).collect()],
        points: proven,
        flow_control: common_flow_control(points),
        single_onion: !points.is_empty() && points.iter().all(|point| point.backend.single_onion),
        revision_seen,
    }
}

/// Congestion control is announced for all points together, so only what all their backends speak can be.
fn common_flow_control(points: &[BackendPoint]) -> Option<FlowControl> {
    let mut all = points.iter().map(|point| point.backend.flow_control);
    let first = all.next()??;
    all.try_fold(first, |common, next| common.common(next?))
}

/// Opens the signed `text` as a client would, and compares it with what was asked for.
pub fn check(
    text: &str,
    service: &OnionAddress,
    term: &DescriptorTerm,
    points: &[BackendPoint],
    now: UnixTime,
) -> Result<(), FrontendError> {
    let descriptor = document::open(text, &PeriodKeys::derive(service, term.period), now)?;
    let wanted: Vec<(AuthKey, EncKey)> = points.iter().map(Point::id).collect();
    let found: Vec<_> = descriptor.inner.points.iter().map(|point| (point.auth_key, point.enc_key)).collect();
    if found != wanted || descriptor.inner.flow_control != common_flow_control(points) {
        return Err(FrontendError::Different);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::{Backend, Published};
    use onionbalance_proto::v3::document::inner::IntroductionPoint;
    use onionbalance_proto::v3::{PeriodLength, TimePeriod};
    use rand_core::OsRng;

    use super::*;
    use crate::tor::documents::consensus::SharedRandomValue;
    use crate::v3::backend;

    const NOW: UnixTime = UnixTime(1_795_336_111);

    fn term() -> DescriptorTerm {
        let period = TimePeriod::at(NOW, PeriodLength::try_from(1440).unwrap(), 720);
        DescriptorTerm { period, shared_random: SharedRandomValue([0; 32]), run_start: NOW.minus(3600) }
    }

    fn points_of(number: u64, alter: impl Fn(&mut Published)) -> Vec<BackendPoint> {
        let backend = Backend::new(number);
        let mut published = backend.publish(term().period, NOW, 3, &mut OsRng);
        alter(&mut published);
        backend::open(&backend.address(), term().period, &published.text(&mut OsRng), NOW).unwrap().points
    }

    /// A service that signs whatever it is given stands in for the signer.
    fn signed(points: &[BackendPoint]) -> String {
        let mut published = Backend::new(9).publish(term().period, NOW, points.len(), &mut OsRng);
        let recertified = points.iter().map(|wanted| IntroductionPoint {
            auth_cert: published.certify_like(&wanted.point.auth_cert),
            enc_cert: published.certify_like(&wanted.point.enc_cert),
            ..wanted.point.clone()
        });
        published.descriptor.inner.points = recertified.collect();
        published.text(&mut OsRng)
    }

    #[test]
    fn each_backend_is_proven_once() {
        let points = [points_of(1, |_| ()), points_of(2, |_| ())].concat();
        let request = compose(&Backend::new(9).address(), &term(), &points, 5);
        assert_eq!(request.backends.len(), 2);
        assert_eq!(request.points.iter().map(|point| point.backend).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        assert_eq!((request.sets, request.revision_seen), (vec![vec![0, 1, 2, 3, 4, 5]], 5));
    }

    #[test]
    fn says_only_what_all_backends_say() {
        let flow = |text: &'static str| {
            move |published: &mut Published| published.descriptor.inner.flow_control = text.parse().ok()
        };
        let common =
            |other: Vec<BackendPoint>| common_flow_control(&[points_of(1, flow("1-2 31")), other].concat());
        assert_eq!(common(points_of(2, flow("2-3 31"))), "2 31".parse().ok());
        assert_eq!(common(points_of(2, flow("1-2 32"))), None);
        assert_eq!(common(points_of(2, |published| published.descriptor.inner.flow_control = None)), None);

        let single = |published: &mut Published| published.descriptor.inner.single_onion = true;
        let asked =
            |points: &[BackendPoint]| compose(&Backend::new(9).address(), &term(), points, 0).single_onion;
        assert!(asked(&[points_of(1, single), points_of(2, single)].concat()));
        assert!(!asked(&[points_of(1, single), points_of(2, |_| ())].concat()));
    }

    #[test]
    fn another_descriptor_than_was_asked_for_is_noticed() {
        let service = Backend::new(9).address();
        let points = points_of(1, |_| ());
        let check = |text: &str| check(text, &service, &term(), &points, NOW);
        assert_eq!(check(&signed(&points)), Ok(()));
        assert_eq!(check(&signed(&points_of(1, |_| ()))), Err(FrontendError::Different));
        assert_eq!(check(&signed(&points[..2])), Err(FrontendError::Different));
        assert!(matches!(check("hs-descriptor 3\n"), Err(FrontendError::Document(_))));
    }
}
