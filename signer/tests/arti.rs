//! Arti's client reads the signer's descriptors.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod oracle;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onionbalance_proto::fixture::{self, Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{FrontendRequest, ProvenPoint};
use onionbalance_signer::v3::authority::Authority;
use onionbalance_signer::v3::judge::judge;
use onionbalance_signer::v3::secret::IdentitySecret;
use onionbalance_signer::v3::service::Service;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tor_hscrypto::RevisionCounter;
use tor_linkspec::EncodedLinkSpec;
use tor_netdoc::doc::hsdesc::IntroPointDesc;

use crate::oracle::parse;

/// 2026-11-22 10:00 UTC.
const NOW: UnixTime = UnixTime(1_795_341_600);

fn system_time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.0)
}

fn link_specifiers(mut bytes: &[u8]) -> Vec<EncodedLinkSpec> {
    let mut list = Vec::new();
    bytes = &bytes[1..];
    while let [kind, length, rest @ ..] = bytes {
        let (body, rest) = rest.split_at(usize::from(*length));
        list.push(EncodedLinkSpec::new((*kind).into(), body));
        bytes = rest;
    }
    list
}

fn assert_same(theirs: &IntroPointDesc, ours: &ProvenPoint) {
    assert_eq!(theirs.link_specifiers(), link_specifiers(&ours.link_specifiers));
    assert_eq!(theirs.ipt_ntor_key().as_bytes(), &ours.onion_key);
    assert_eq!(theirs.ipt_sid_key().as_ref().as_bytes(), &ours.auth_key);
    assert_eq!(theirs.svc_ntor_key().as_ref().as_bytes(), &ours.enc_key);
}

/// A request for one descriptor with `points` points of up to three backends.
fn request(
    frontend: &OnionAddress,
    period: TimePeriod,
    points: usize,
    rng: &mut StdRng,
) -> (FrontendRequest, Vec<OnionAddress>) {
    let backends: Vec<Backend> = (0..points.min(3) as u64).map(|_| Backend::new(rng.r#gen())).collect();
    let published: Vec<Published> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| {
            let share = (points + backends.len() - 1 - index) / backends.len();
            backend.publish(period, NOW, share, rng)
        })
        .collect();
    let mut request = fixture::request(frontend, period, &published);
    let flow_controls = [None, Some("1-2 31"), Some("1 30"), Some("1-2,5 254")];
    request.flow_control = flow_controls[rng.gen_range(0..4)].and_then(|text| text.parse().ok());
    request.single_onion = rng.r#gen();
    request.revision_seen = rng.gen_range(0..1 << 33);
    (request, backends.iter().map(Backend::address).collect())
}

#[test]
fn arti_reads_each_descriptor_as_it_was_asked_for() {
    let mut rng = StdRng::seed_from_u64(4);
    for points in (1..=20).chain([3, 8, 20]) {
        let identity = IdentitySecret::from_seed(&rng.r#gen()).unwrap();
        let mut service = Service::new(Authority::Identity(identity), vec![]);
        let frontend = service.address();
        let length = PeriodLength::try_from(if points % 2 == 0 { 1440 } else { rng.gen_range(5..=14_400) });
        let period = TimePeriod::at(NOW, length.unwrap(), 0);
        let (request, backends) = request(&frontend, period, points, &mut rng);
        assert_eq!(request.points.len(), points);

        let approved = judge(&request, &backends, NOW).unwrap();
        let signed = service.render(&approved, NOW, &mut rng).unwrap();
        let (descriptor, valid_until) = parse(&frontend, period, &signed.texts[0]);

        assert_eq!(valid_until, Some(system_time(NOW.plus(54 * 3600))));
        assert_eq!(descriptor.revision(), RevisionCounter::from(signed.revision));
        assert_eq!(descriptor.is_single_onion_service(), request.single_onion);
        assert!(!descriptor.requires_intro_authentication());
        assert!(descriptor.pow_params().is_empty());
        let flow_control = descriptor.flow_control().map(|(versions, increment)| {
            format!("{} {increment}", versions.to_string().strip_prefix("FlowCtrl=").unwrap())
        });
        assert_eq!(flow_control, request.flow_control.map(|line| line.to_string()));
        assert_eq!(descriptor.intro_points().len(), points);
        for (theirs, ours) in descriptor.intro_points().iter().zip(&request.points) {
            assert_same(theirs, ours);
        }
    }
}
