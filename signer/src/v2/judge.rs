//! May this version 2 frontend be signed? A pure function of the request, the allowed backends and the time.
//!
//! No certificate covers a single introduction point: only the descriptor that a backend signed proves its
//! points. So the request carries whole descriptors, and the approved descriptor is built of points that were
//! parsed from them here.

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

/// The greatest age of a publication time, in seconds. HSDirs keep descriptors that are up to three days old,
/// and of two the one that was published later; a frontend's publication time is the present hour.
const OLDEST_PUBLICATION_SECS: u64 = 24 * 3600;

/// The time for which descriptors of a backend's ended period are accepted, in seconds. This is longer than
/// the balancer treats a descriptor as alive, 2 h 15 min from its publication: one refused descriptor makes
/// the whole request refused.
const ENDED_PERIOD_SECS: u64 = 3 * 3600;

/// A request that may be signed.
#[derive(Debug)]
pub struct Approved {
    /// The frontend's descriptor: points of configured backends, and nothing of the balancer's own making.
    pub descriptor: Descriptor,
    /// True to encrypt the points to authorized clients.
    pub client_authorization: bool,
}

/// Judges a request for `service`, whose allowed backends are `backends`. `known` saves time and does not
/// change the result; services with different cookies must not share it.
///
/// # Errors
/// The rule that the request breaks.
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
        // Two descriptors of one backend hold the same points. Each point has a service key of its own.
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

/// Refuses times that are not whole hours, too old or in the future: HSDirs would ignore later descriptors
/// until then.
fn judge_publication_time(published: UnixTime, now: UnixTime) -> Result<(), Refusal> {
    let whole = published.0 % 3600 == 0;
    let present = published <= now && now.since(published) <= OLDEST_PUBLICATION_SECS;
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

/// A backend's descriptor after decryption.
#[derive(Debug)]
struct Opened<'a> {
    backend: &'a InstanceV2,
    points: Vec<IntroductionPoint>,
}

/// The points in the descriptor `text` of a configured backend.
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
        // A verified descriptor stays genuine, but its period ends.
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

/// The periods that a backend's descriptor may have: the present and the next one, and for
/// [`ENDED_PERIOD_SECS`] the one that has ended.
fn live_periods(backend: &OnionAddress, now: UnixTime) -> Vec<TimePeriod> {
    let present = TimePeriod::at(now, backend);
    let mut periods = vec![present, present.next()];
    if now.since(present.start(backend)) < ENDED_PERIOD_SECS {
        periods.push(present.previous());
    }
    periods
}

/// The chosen point. Points of a backend that authorizes its clients are only for descriptors that do so too.
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
