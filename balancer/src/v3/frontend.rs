//! The frontend's descriptor: composed for the signer, and checked as a client would before it is published.

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::inner::Inner;
use onionbalance_proto::v3::document::{self, DocumentError, PeriodKeys};
use onionbalance_proto::v3::{FlowControl, OnionAddress};
use onionbalance_proto::wire::{BackendProof, FrontendRequest, ProvenPoint};

use super::backend::{BackendPoint, PointId};
use super::schedule::DescriptorTerm;
use crate::engine::Point;

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

/// The request for the texts of a descriptor, one for each of these sets of points. A point that several sets
/// list is proven once.
pub fn compose(
    service: &OnionAddress,
    term: &DescriptorTerm,
    sets: &[impl AsRef<[BackendPoint]>],
    revision_seen: u64,
) -> FrontendRequest {
    let mut backends: Vec<BackendProof> = Vec::new();
    let mut proven: Vec<ProvenPoint> = Vec::new();
    let mut listed = Vec::with_capacity(sets.len());
    for set in sets {
        let mut members = Vec::with_capacity(set.as_ref().len());
        for BackendPoint { point, backend } in set.as_ref() {
            let proof = BackendProof::new(&backend.address, backend.period.number, &backend.signing_cert);
            let backend = index_of(&mut backends, proof);
            members.push(index_of(&mut proven, point.proven(backend)));
        }
        listed.push(members);
    }
    FrontendRequest {
        service: *service.identity(),
        period_length: term.period.length.into(),
        period_number: term.period.number,
        backends,
        sets: listed,
        points: proven,
        flow_control: common_flow_control(sets),
        single_onion: all(sets).next().is_some() && all(sets).all(|point| point.backend.single_onion),
        revision_seen,
    }
}

/// The index of `item` in `known`; a missing item is added. The engine gives at most 8 sets of 20 points: the
/// indices of these and of their backends fit a byte.
fn index_of<T: PartialEq>(known: &mut Vec<T>, item: T) -> u8 {
    let index = known.iter().position(|known| *known == item).unwrap_or_else(|| {
        known.push(item);
        known.len() - 1
    });
    u8::try_from(index).unwrap_or(u8::MAX)
}

fn all(sets: &[impl AsRef<[BackendPoint]>]) -> impl Iterator<Item = &BackendPoint> {
    sets.iter().flat_map(AsRef::as_ref)
}

/// The flow control that all backends of all sets have in common; `None` if there is none. A descriptor has
/// one for all its points together, and a service's descriptors have the same at all HSDirs.
fn common_flow_control(sets: &[impl AsRef<[BackendPoint]>]) -> Option<FlowControl> {
    let mut all = all(sets).map(|point| point.backend.flow_control);
    let first = all.next()??;
    all.try_fold(first, |common, next| common.common(next?))
}

/// Opens the signed texts as a client would, and compares each with its set.
///
/// # Errors
/// A client could not use a text, or it is not what was asked for.
pub fn check(
    texts: &[String],
    service: &OnionAddress,
    term: &DescriptorTerm,
    sets: &[impl AsRef<[BackendPoint]>],
    now: UnixTime,
) -> Result<(), FrontendError> {
    let keys = PeriodKeys::derive(service, term.period);
    let flow_control = common_flow_control(sets);
    for (text, points) in texts.iter().zip(sets) {
        let Inner { points: found, flow_control: said, .. } = document::open(text, &keys, now)?.inner;
        let wanted = points.as_ref().iter().map(Point::id);
        let found = found.iter().map(PointId::from);
        if !found.eq(wanted) || said != flow_control {
            return Err(FrontendError::Different);
        }
    }
    if texts.len() == sets.len() { Ok(()) } else { Err(FrontendError::Different) }
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
        opened(&published(number, alter))
    }

    fn published(number: u64, alter: impl Fn(&mut Published)) -> Published {
        let mut published = Backend::new(number).publish(term().period, NOW, 3, &mut OsRng);
        alter(&mut published);
        published
    }

    fn opened(published: &Published) -> Vec<BackendPoint> {
        let text = published.text(&mut OsRng);
        backend::open(&published.address, term().period, &text, NOW).unwrap().points
    }

    /// The text of a signer that signs everything, for these points.
    fn signed(points: &[IntroductionPoint]) -> String {
        let mut published = Backend::new(9).publish(term().period, NOW, points.len(), &mut OsRng);
        let recertified = points.iter().map(|wanted| IntroductionPoint {
            auth_cert: published.certify_like(&wanted.auth_cert),
            enc_cert: published.certify_like(&wanted.enc_cert),
            ..wanted.clone()
        });
        published.descriptor.inner.points = recertified.collect();
        published.text(&mut OsRng)
    }

    #[test]
    fn each_backend_is_proven_once() {
        let points = [points_of(1, |_| ()), points_of(2, |_| ())].concat();
        let request = compose(&Backend::new(9).address(), &term(), &[points], 5);
        assert_eq!(request.backends.len(), 2);
        assert_eq!(request.points.iter().map(|point| point.backend).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        assert_eq!((request.sets, request.revision_seen), (vec![vec![0, 1, 2, 3, 4, 5]], 5));
    }

    #[test]
    fn each_point_is_proven_once() {
        let [first, second] = [points_of(1, |_| ()), points_of(2, |_| ())];
        let sets = [[&first[..], &second[..1]].concat(), [&first[2..], &second[..]].concat()];
        let request = compose(&Backend::new(9).address(), &term(), &sets, 0);
        assert_eq!((request.backends.len(), request.points.len()), (2, 6));
        assert_eq!(request.sets, [vec![0, 1, 2, 3], vec![2, 3, 4, 5]]);
    }

    #[test]
    fn says_only_what_all_backends_say() {
        let flow = |text: &'static str| {
            move |published: &mut Published| published.descriptor.inner.flow_control = text.parse().ok()
        };
        let common = |other: Vec<BackendPoint>| common_flow_control(&[points_of(1, flow("1-2 31")), other]);
        assert_eq!(common(points_of(2, flow("2-3 31"))), "2 31".parse().ok());
        assert_eq!(common(points_of(2, flow("1-2 32"))), None);
        assert_eq!(common(points_of(2, |published| published.descriptor.inner.flow_control = None)), None);

        let single = |published: &mut Published| published.descriptor.inner.single_onion = true;
        let asked = |sets: [Vec<BackendPoint>; 2]| {
            compose(&Backend::new(9).address(), &term(), &sets, 0).single_onion
        };
        assert!(asked([points_of(1, single), points_of(2, single)]));
        assert!(!asked([points_of(1, single), points_of(2, |_| ())]));
    }

    #[test]
    fn another_descriptor_than_was_asked_for_is_noticed() {
        let service = Backend::new(9).address();
        let backend = published(1, |_| ());
        let points = opened(&backend);
        let sets = [&points[..], &points[1..]];
        let check = |texts: &[String]| check(texts, &service, &term(), &sets, NOW);
        let listed = &backend.descriptor.inner.points;
        let [all, some] = [&listed[..], &listed[1..]].map(signed);
        assert_eq!(check(&[all.clone(), some.clone()]), Ok(()));
        assert_eq!(check(&[some.clone(), all.clone()]), Err(FrontendError::Different));
        assert_eq!(check(std::slice::from_ref(&all)), Err(FrontendError::Different));
        let others = published(1, |_| ()).descriptor.inner.points;
        assert_eq!(check(&[signed(&others), some.clone()]), Err(FrontendError::Different));
        assert_eq!(check(&[signed(&listed[..2]), some]), Err(FrontendError::Different));
        assert!(matches!(check(&[all, "hs-descriptor 3\n".into()]), Err(FrontendError::Document(_))));
    }
}
