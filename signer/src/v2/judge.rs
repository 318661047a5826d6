//! May this version 2 frontend be signed? A pure function of the request, the allowed backends and the time.
//!
//! No certificate covers a single introduction point: only the descriptor that a backend signed tells its points. So the
//! request carries whole descriptors, and what comes out is built of points that were read from them here.

mod known;

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::document::{Descriptor, DocumentError, MAX_POINTS, open_outer};
use onionbalance_proto::v2::layer::LayerError;
use onionbalance_proto::v2::period::{OVERLAP, seconds_left};
use onionbalance_proto::v2::{OnionAddress, Replica, TimePeriod};
use onionbalance_proto::wire::Refusal;
use onionbalance_proto::wire::v2::{ChosenPoint, FrontendRequest};

use self::known::KnownDescriptor;
pub use self::known::KnownDescriptors;

/// How old a publication time may be. HSDirs keep what is up to three days old, and of two descriptors the one published
/// later; a frontend's is of this very hour.
const OLDEST_PUBLICATION: u64 = 24 * 3600;

/// How long after its end the descriptors of a backend's period are taken, in seconds. Longer than the balancer takes a
/// descriptor for alive, which is 2 h 15 min from its publication: a single one that is refused makes the whole frontend's
/// descriptor be refused.
const ENDED_PERIOD_STANDS: u64 = 3 * 3600;

/// A request that may be signed.
#[derive(Debug)]
pub struct Approved {
    /// What the frontend is to say: points of configured backends, and nothing of the balancer's own making.
    pub descriptor: Descriptor,
    /// Whether to encrypt the points to authorized clients.
    pub client_authorization: bool,
}

/// Judges a request for `service`, whose allowed backends are `backends`. `known` changes nothing but the time it takes; it
/// must not be shared with a service that has other cookies.
pub fn judge(
    request: &FrontendRequest,
    service: &OnionAddress,
    backends: &[InstanceV2],
    known: &mut KnownDescriptors,
    now: UnixTime,
) -> Result<Approved, Refusal> {
    let period = judge_period(request, service, now)?;
    let replica = Replica::try_from(request.replica).map_err(|_| Refusal::Replica)?;
    judge_publication_time(request.published, now)?;
    judge_choice(request)?;
    if request.client_authorization && backends.iter().all(|backend| backend.auth.is_none()) {
        return Err(Refusal::ClientAuthorization);
    }
    let opened = request
        .backends
        .iter()
        .map(|text| judge_backend(text, backends, known, now))
        .collect::<Result<Vec<Opened<'_>>, Refusal>>()?;
    let mut points: Vec<IntroductionPoint> = Vec::with_capacity(request.points.len());
    for chosen in &request.points {
        let point = judge_point(*chosen, &opened, request.client_authorization)?;
        // Two descriptors of one backend hold the same points. Each has a service key of its own.
        if points.iter().any(|earlier| earlier.service_key == point.service_key) {
            return Err(Refusal::SetMember);
        }
        points.push(point);
    }
    let descriptor = Descriptor { period, replica, published: request.published, points };
    Ok(Approved { descriptor, client_authorization: request.client_authorization })
}

/// The present period, or the next within the overlap.
fn judge_period(
    request: &FrontendRequest,
    service: &OnionAddress,
    now: UnixTime,
) -> Result<TimePeriod, Refusal> {
    let period = TimePeriod(request.period);
    let present = TimePeriod::at(now, service);
    let overlaps = period == present.next() && seconds_left(now, service) <= OVERLAP;
    if period == present || overlaps { Ok(period) } else { Err(Refusal::Period) }
}

/// One that lies ahead would make HSDirs pass over later descriptors until then.
fn judge_publication_time(published: UnixTime, now: UnixTime) -> Result<(), Refusal> {
    let whole = published.0 % 3600 == 0;
    let present = published <= now && now.since(published) <= OLDEST_PUBLICATION;
    if whole && present { Ok(()) } else { Err(Refusal::PublicationTime) }
}

fn judge_choice(request: &FrontendRequest) -> Result<(), Refusal> {
    if request.points.is_empty() {
        return Err(Refusal::EmptySet);
    }
    if request.points.len() > MAX_POINTS {
        return Err(Refusal::SetTooLarge);
    }
    if request.backends.len() > request.points.len() {
        return Err(Refusal::TooManyPoints);
    }
    Ok(())
}

/// A backend's descriptor, opened.
#[derive(Debug)]
struct Opened<'a> {
    backend: &'a InstanceV2,
    points: Vec<IntroductionPoint>,
}

/// The points that a configured backend says it has.
fn judge_backend<'a>(
    text: &str,
    allowed: &'a [InstanceV2],
    known: &mut KnownDescriptors,
    now: UnixTime,
) -> Result<Opened<'a>, Refusal> {
    let of = |address: &OnionAddress| {
        allowed.iter().find(|backend| backend.address == *address).ok_or(Refusal::UnknownBackend)
    };
    if let Some(known) = known.get(text) {
        // It stays genuine; its time runs out.
        let lives = live_periods(&known.address, now).contains(&known.period);
        let points = known.points.clone();
        let backend = of(&known.address)?;
        return if lives { Ok(Opened { backend, points }) } else { Err(Refusal::BackendDescriptorPeriod) };
    }
    let outer = open_outer(text).map_err(|_| Refusal::BackendDescriptor)?;
    let address = outer.key.address();
    let backend = of(&address)?;
    let Descriptor { period, points, .. } =
        outer.open(&live_periods(&address, now), backend.auth.as_ref()).map_err(|error| match error {
            DocumentError::Period => Refusal::BackendDescriptorPeriod,
            DocumentError::Layer(LayerError::NoCookie | LayerError::Cookie) => Refusal::BackendCookie,
            _ => Refusal::BackendDescriptor,
        })?;
    known.remember(KnownDescriptor { text: text.to_owned(), address, period, points: points.clone() });
    Ok(Opened { backend, points })
}

/// The periods of which a backend's descriptor may be: present and next, and for some time the one that has just ended.
fn live_periods(backend: &OnionAddress, now: UnixTime) -> Vec<TimePeriod> {
    let present = TimePeriod::at(now, backend);
    let mut periods = vec![present, present.next()];
    if now.since(present.start(backend)) < ENDED_PERIOD_STANDS {
        periods.push(present.previous());
    }
    periods
}

/// The point that was chosen. Those of a backend that authorizes its clients are not shown to others.
fn judge_point(
    chosen: ChosenPoint,
    opened: &[Opened<'_>],
    client_authorization: bool,
) -> Result<IntroductionPoint, Refusal> {
    let opened = opened.get(usize::from(chosen.backend)).ok_or(Refusal::SetMember)?;
    let point = opened.points.get(usize::from(chosen.point)).ok_or(Refusal::SetMember)?;
    if opened.backend.auth.is_some() && !client_authorization {
        return Err(Refusal::ClientAuthorization);
    }
    Ok(*point)
}

#[cfg(test)]
mod tests;
