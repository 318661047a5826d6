use std::sync::LazyLock;

use onionbalance_proto::fixture::v2 as fixture;
use onionbalance_proto::v2::document::{MAX_LENGTH, Readers};
use onionbalance_proto::v2::{AuthType, Cookie};
use onionbalance_proto::wire::{Header, Request, frame};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// 2026-11-22 10:20 UTC.
const NOW: UnixTime = UnixTime(1_795_342_800);
/// The refusals that this judge never gives: the first three are the server's and the renderer's, the others
/// of version 3.
const GIVEN_ELSEWHERE: [Refusal; 19] = [
    Refusal::NotDelegated,
    Refusal::UnknownService,
    Refusal::RateLimit,
    Refusal::TooLong,
    Refusal::PeriodLength,
    Refusal::NoSets,
    Refusal::TooManySets,
    Refusal::BackendPeriod,
    Refusal::BackendCert,
    Refusal::BackendCertExpired,
    Refusal::LinkSpecifiers,
    Refusal::OnionKey,
    Refusal::AuthKey,
    Refusal::EncKey,
    Refusal::AuthCert,
    Refusal::AuthCertExpired,
    Refusal::EncCert,
    Refusal::EncCertExpired,
    Refusal::FlowControl,
];

/// Two open backends, one that authorizes its clients, and a stranger. They are shared, because making keys
/// takes long.
static WORLD: LazyLock<[fixture::Backend; 4]> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(1);
    std::array::from_fn(|_| fixture::Backend::generate(&mut rng))
});

/// A genuine case for tests that do not change it.
static GENUINE: LazyLock<Case> = LazyLock::new(Case::genuine);

fn cookie(byte: u8) -> Cookie {
    Cookie::new([byte; 16], AuthType::Basic)
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(2)
}

/// A service whose period changes at noon: far from [`NOW`].
fn frontend() -> OnionAddress {
    OnionAddress::from_permanent_id([128, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

/// A request, and the world in which it is judged.
struct Case {
    request: FrontendRequest,
    allowed: Vec<InstanceV2>,
    published: Vec<Descriptor>,
}

impl Case {
    /// Three points of each of the two open backends; the third backend is not asked.
    fn genuine() -> Self {
        let mut rng = rng();
        let backends = WORLD.iter().take(3);
        let allowed = backends.clone().map(|backend| InstanceV2::new(backend.address()));
        let published = backends.clone().map(|backend| backend.publish(NOW, 3, &mut rng));
        let request = fixture::request(&frontend(), NOW, vec![], 0);
        let mut case = Self { request, allowed: allowed.collect(), published: published.collect() };
        let texts = vec![case.text(0), case.text(1)];
        case.request = fixture::request(&frontend(), NOW, texts, 3);
        case
    }

    /// Two points of the backend that authorizes its clients, for authorized clients.
    fn authorized() -> Self {
        let mut case = Self::genuine();
        case.allowed[2].auth = Some(cookie(7));
        case.request.backends = vec![case.text_for(2, Readers::Basic(&[cookie(6), cookie(7)]))];
        case.request.points.truncate(2);
        case.request.client_authorization = true;
        case
    }

    fn text(&self, backend: usize) -> String {
        self.text_for(backend, Readers::Everyone)
    }

    fn text_for(&self, backend: usize, readers: Readers<'_>) -> String {
        WORLD[backend].text(&self.published[backend], readers, &mut rng())
    }

    /// Replaces the first backend's descriptor by an altered one, which it signed.
    fn publish(&mut self, alter: impl Fn(&mut Descriptor)) {
        alter(&mut self.published[0]);
        self.request.backends[0] = self.text(0);
    }

    fn judge(&self) -> Result<Approved, Refusal> {
        self.judge_at(NOW)
    }

    fn judge_at(&self, now: UnixTime) -> Result<Approved, Refusal> {
        judge(&self.request, &frontend(), &self.allowed, &mut KnownDescriptors::default(), now)
    }
}

/// A refusal, a name, and an alteration that breaks this one rule in an otherwise genuine request.
type Hostile = (Refusal, &'static str, fn(&mut Case));

const HOSTILE_SHAPES: &[Hostile] = &[
    (Refusal::Period, "the next, long before its time", |case| case.request.period += 1),
    (Refusal::Period, "the one before", |case| case.request.period -= 1),
    (Refusal::Period, "the first", |case| case.request.period = 0),
    (Refusal::Period, "the last", |case| case.request.period = u32::MAX),
    (Refusal::Replica, "2", |case| case.request.replica = 2),
    (Refusal::Replica, "255", |case| case.request.replica = 255),
    (Refusal::PublicationTime, "a second past the hour", |case| case.request.published.0 += 1),
    (Refusal::PublicationTime, "the next hour", |case| case.request.published.0 += 3600),
    (Refusal::PublicationTime, "a day ahead, as the first version had it", |case| {
        case.request.published.0 += 86_400;
    }),
    (Refusal::PublicationTime, "25 hours ago", |case| case.request.published.0 -= 25 * 3600),
    (Refusal::PublicationTime, "the epoch", |case| case.request.published = UnixTime(0)),
    (Refusal::PublicationTime, "the end of time", |case| case.request.published = UnixTime(u64::MAX)),
    (Refusal::EmptySet, "no point", |case| case.request.points.clear()),
    (Refusal::EmptySet, "nothing at all", |case| {
        case.request.points.clear();
        case.request.backends.clear();
    }),
    (Refusal::SetTooLarge, "11 points", |case| case.request.points = vec![case.request.points[0]; 11]),
    (Refusal::TooManyPoints, "more backends than points", |case| case.request.points.truncate(1)),
    (Refusal::SetMember, "the first point that is none", |case| case.request.points[0].point = 3),
    (Refusal::SetMember, "the last point", |case| case.request.points[0].point = 255),
    (Refusal::SetMember, "the first backend that is none", |case| case.request.points[0].backend = 2),
    (Refusal::SetMember, "the last backend", |case| case.request.points[0].backend = 255),
    (Refusal::SetMember, "a point twice", |case| case.request.points[2] = case.request.points[0]),
    (Refusal::SetMember, "a point twice, out of both replicas", |case| {
        case.published[0].replica = Replica::Second;
        case.request.backends[1] = case.text(0);
    }),
];

const HOSTILE_BACKENDS: &[Hostile] = &[
    (Refusal::UnknownBackend, "never configured", |case| {
        let published = WORLD[3].publish(NOW, 3, &mut rng());
        case.request.backends[0] = WORLD[3].text(&published, Readers::Everyone, &mut rng());
    }),
    (Refusal::UnknownBackend, "removed", |case| {
        case.allowed.remove(1);
    }),
    (Refusal::UnknownBackend, "no backend is allowed", |case| case.allowed.clear()),
    (Refusal::BackendDescriptor, "empty", |case| case.request.backends[0].clear()),
    (Refusal::BackendDescriptor, "cut", |case| {
        let half = case.request.backends[0].len() / 2;
        case.request.backends[0].truncate(half);
    }),
    (Refusal::BackendDescriptor, "longer than any", |case| {
        case.request.backends[0].push_str(&"\n".repeat(MAX_LENGTH));
    }),
    (Refusal::BackendDescriptor, "two, one behind the other", |case| {
        case.request.backends[0] = [case.text(0), case.text(1)].concat();
    }),
    (Refusal::BackendDescriptor, "with another's signature", |case| {
        case.request.backends[0] = WORLD[3].sign_again(&case.text(0));
    }),
    (Refusal::BackendDescriptor, "the takeover: the attacker's points under a backend's key", |case| {
        let own = case.text(0);
        let points = WORLD[3].publish(NOW, 3, &mut StdRng::seed_from_u64(9));
        let theirs = WORLD[3].text(&points, Readers::Everyone, &mut rng());
        let (_, message) = theirs.split_once("introduction-points\n").unwrap();
        let (head, _) = own.split_once("introduction-points\n").unwrap();
        case.request.backends[0] = WORLD[3].sign_again(&format!("{head}introduction-points\n{message}"));
    }),
    (Refusal::BackendDescriptor, "made to look newer", |case| {
        let time = case.published[0].published;
        case.request.backends[0] = case.text(0).replace(&time.to_string(), &time.plus(3600).to_string());
    }),
    (Refusal::BackendDescriptor, "without points", |case| {
        case.publish(|descriptor| descriptor.points.clear());
    }),
    (Refusal::BackendDescriptor, "with 11 points", |case| {
        case.publish(|descriptor| descriptor.points = vec![descriptor.points[0]; 11]);
    }),
    (Refusal::BackendDescriptorPeriod, "two ahead", |case| {
        case.publish(|descriptor| descriptor.period = descriptor.period.next().next());
    }),
    (Refusal::BackendDescriptorPeriod, "long over", |case| {
        case.publish(|descriptor| descriptor.period = descriptor.period.previous());
    }),
    (Refusal::BackendCookie, "for clients that we are none of", |case| {
        *case = Case::authorized();
        case.request.backends[0] = case.text_for(2, Readers::Basic(&[cookie(6)]));
    }),
    (Refusal::BackendCookie, "for clients, and no cookie is configured", |case| {
        case.request.backends[0] = case.text_for(0, Readers::Basic(&[cookie(7)]));
    }),
    (Refusal::BackendDescriptor, "neither in the clear nor encrypted", |case| {
        let text = case.text(0);
        let (head, _) = text.split_once("-----BEGIN MESSAGE").unwrap();
        let noise = "-----BEGIN MESSAGE-----\nAAAAAAAA\n-----END MESSAGE-----\nsignature\n";
        case.request.backends[0] = WORLD[0].sign_again(&format!("{head}{noise}"));
    }),
    (Refusal::ClientAuthorization, "where no backend has a cookie", |case| {
        case.request.client_authorization = true;
    }),
    (Refusal::ClientAuthorization, "points for few to be shown to all", |case| {
        *case = Case::authorized();
        case.request.client_authorization = false;
    }),
];

fn every_hostile() -> impl Iterator<Item = &'static Hostile> {
    [HOSTILE_SHAPES, HOSTILE_BACKENDS].into_iter().flatten()
}

#[test]
fn a_genuine_request_is_approved_as_it_was_asked() {
    let case = Case::genuine();
    let Approved { descriptor, client_authorization } = case.judge().unwrap();
    let wanted = [&case.published[0].points[..], &case.published[1].points[..]].concat();
    assert_eq!(descriptor.points, wanted);
    assert_eq!((descriptor.period.0, descriptor.replica), (case.request.period, Replica::First));
    assert_eq!((descriptor.published, client_authorization), (case.request.published, false));
}

#[test]
fn points_are_taken_as_they_were_chosen() {
    let mut case = Case::genuine();
    case.request.replica = 1;
    case.request.points =
        [(1, 2), (0, 0), (1, 0)].map(|(backend, point)| ChosenPoint { backend, point }).into();
    let descriptor = case.judge().unwrap().descriptor;
    let [first, second] = [&case.published[0].points, &case.published[1].points];
    assert_eq!(descriptor.points, [second[2], first[0], second[0]]);
    assert_eq!(descriptor.replica, Replica::Second);
}

#[test]
fn authorized_backends_are_opened_with_the_configured_cookie() {
    let case = Case::authorized();
    let approved = case.judge().unwrap();
    assert!(approved.client_authorization);
    assert_eq!(approved.descriptor.points, case.published[2].points[..2]);
    // A stealth cookie is part of the id.
    let mut case = Case::authorized();
    let stealth = Cookie::new([8; 16], AuthType::Stealth);
    case.request.backends = vec![case.text_for(2, Readers::Stealth(&stealth))];
    case.allowed[2].auth = Some(stealth);
    assert_eq!(case.judge().unwrap().descriptor.points, case.published[2].points[..2]);
}

#[test]
fn each_hostile_request_is_refused_by_the_rule_it_breaks() {
    for (refusal, what, spoil) in every_hostile() {
        let mut case = Case::genuine();
        spoil(&mut case);
        assert_eq!(case.judge().err(), Some(*refusal), "{refusal:?}: {what}");
    }
}

#[test]
fn every_refusal_has_a_hostile_request() {
    for refusal in Refusal::ALL {
        let covered = every_hostile().any(|(covered, ..)| covered == refusal);
        assert_ne!(covered, GIVEN_ELSEWHERE.contains(refusal), "{refusal:?}");
    }
}

/// The next period may be signed for from an hour before its beginning; the last one not from the second of
/// its end on.
#[test]
fn the_overlap_lasts_an_hour() {
    let mut case = Case::genuine();
    let present = case.request.period;
    let rollover = TimePeriod(present).next().start(&frontend());
    assert_eq!(rollover.to_string(), "2026-11-22 12:00:00");
    let mut judge = |period, now: UnixTime| {
        case.request.period = period;
        case.request.published = UnixTime(now.0 - now.0 % 3600);
        case.judge_at(now).err()
    };
    for (seconds_before, next) in [(3601, Some(Refusal::Period)), (3600, None), (1, None)] {
        assert_eq!(judge(present + 1, rollover.minus(seconds_before)), next, "{seconds_before}");
        assert_eq!(judge(present, rollover.minus(seconds_before)), None, "{seconds_before}");
    }
    assert_eq!(judge(present, rollover), Some(Refusal::Period));
    assert_eq!(judge(present + 1, rollover), None);
    assert_eq!(judge(present + 2, rollover), Some(Refusal::Period));
}

/// A backend's period changes at another time than the frontend's.
#[test]
fn a_backends_descriptor_is_of_its_own_period() {
    let address = WORLD[0].address();
    let present = TimePeriod::at(NOW, &address);
    let live = |period, now| live_periods(&address, now).contains(&period);
    let start = present.start(&address);
    for (period, now, wanted) in [
        (present, start, true),
        (present.next(), start, true),
        (present.previous(), start, true),
        (present.previous(), start.plus(3 * 3600 - 1), true),
        (present.previous(), start.plus(3 * 3600), false),
        (present.next().next(), start.plus(86_399), false),
        (present.next(), start.plus(86_399), true),
    ] {
        assert_eq!(live(period, now), wanted, "{period:?} at {now}");
    }
    let mut case = Case::genuine();
    case.publish(|descriptor| descriptor.period = descriptor.period.next());
    assert!(case.judge().is_ok());
}

#[test]
fn what_was_verified_before_still_has_its_time_and_its_place() {
    let case = Case::genuine();
    let mut known = KnownDescriptors::default();
    let mut judge =
        |allowed: &[InstanceV2], now| judge(&case.request, &frontend(), allowed, &mut known, now).err();
    assert_eq!(judge(&case.allowed, NOW), None);
    assert_eq!(judge(&case.allowed, NOW), None);
    // The backend is no longer allowed.
    assert_eq!(judge(&case.allowed[1..], NOW), Some(Refusal::UnknownBackend));
    // A day later the frontend's own period is over too, so the backend's descriptor is judged alone.
    let text = &case.request.backends[0];
    let later = NOW.plus(2 * 86_400);
    let opened = judge_backend(text, &case.allowed, &mut known, later);
    assert_eq!(opened.err(), Some(Refusal::BackendDescriptorPeriod));
}

#[test]
fn publication_times_of_the_last_day_are_accepted() {
    for hours in [0, 1, 24] {
        let mut case = Case::genuine();
        case.request.published.0 -= hours * 3600;
        // The same hour of yesterday is 24 hours and 20 minutes ago.
        assert_eq!(case.judge().is_ok(), hours < 24, "{hours}");
    }
    let mut case = Case::genuine();
    case.request.published.0 -= 24 * 3600;
    assert!(case.judge_at(UnixTime(NOW.0 - NOW.0 % 3600)).is_ok());
}

#[test]
fn the_largest_request_is_accepted() {
    let mut case = Case::genuine();
    case.published[0] = WORLD[0].publish(NOW, 10, &mut rng());
    let text = case.text(0);
    case.request.backends = vec![format!("{text}{}", "\n".repeat(MAX_LENGTH - text.len())); 10];
    case.request.points = (0..10).map(|index| ChosenPoint { backend: index, point: index }).collect();
    assert_eq!(case.judge().unwrap().descriptor.points, case.published[0].points);
    let frame = frame::encode(&Request::FrontendV2(case.request.clone())).unwrap();
    assert_eq!(
        frame::decode::<Request>(&frame[Header::LENGTH..]).unwrap(),
        Request::FrontendV2(case.request)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// No request of a balancer gets a point approved that no backend signed.
    #[test]
    fn no_altered_request_gets_another_point_approved(
        alterations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let case = &*GENUINE;
        // The descriptors were verified before: a known one must not vouch for another.
        let mut known = KnownDescriptors::default();
        judge(&case.request, &frontend(), &case.allowed, &mut known, NOW).unwrap();
        let mut body = frame::encode(&Request::FrontendV2(case.request.clone())).unwrap();
        for (at, byte) in alterations {
            let at = Header::LENGTH + at.index(body.len() - Header::LENGTH);
            body[at] ^= byte;
        }
        if let Ok(Request::FrontendV2(altered)) = frame::decode(&body[Header::LENGTH..])
            && let Ok(approved) = judge(&altered, &frontend(), &case.allowed, &mut known, NOW)
        {
            let genuine: Vec<_> = case.published.iter().flat_map(|published| &published.points).collect();
            prop_assert!(approved.descriptor.points.iter().all(|point| genuine.contains(&point)));
        }
    }
}
