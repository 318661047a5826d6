//! Judgement: an approved and signed descriptor lists points of configured backends only.
//!
//! An input is a request in its wire form, without the header.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::v3::PUBLISHED;
use onionbalance_fuzz::{NOW, rng, v2, v3};
use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::v3::TimePeriod;
use onionbalance_proto::v3::document::{self, PeriodKeys};
use onionbalance_proto::wire::{FrontendRequest, Request, frame};
use onionbalance_signer::v2::judge::{self as judge_v2, KnownDescriptors};
use onionbalance_signer::v3::authority::Authority;
use onionbalance_signer::v3::judge::judge;
use onionbalance_signer::v3::service::Service;

thread_local! {
    static SERVICE: RefCell<Service> =
        RefCell::new(Service::new(Authority::Identity(v3::frontend()), vec![PUBLISHED.address]));
}

fuzz_target!(|body: &[u8]| {
    match frame::decode(body) {
        Ok(Request::FrontendV3(request)) => SERVICE.with_borrow_mut(|service| sign_v3(service, &request)),
        Ok(Request::FrontendV2(request)) => judge_v2(&request),
        Ok(Request::Services { .. }) | Err(_) => {}
    }
});

fn sign_v3(service: &mut Service, request: &FrontendRequest) {
    let Ok(approved) = judge(request, service.backends(), NOW) else { return };
    let TimePeriod { length, number } = approved.period;
    assert_eq!((u16::from(length), number), (request.period_length, request.period_number));
    let Ok(signed) = service.render(&approved, NOW, &mut rng(1)) else { return };
    assert_eq!(signed.texts.len(), request.sets.len());
    let keys = PeriodKeys::derive(&service.address(), approved.period);
    let genuine = &PUBLISHED.descriptor.inner.points;
    for (text, set) in signed.texts.iter().zip(&request.sets) {
        let opened = document::open(text, &keys, NOW).expect("a signed descriptor opens");
        assert_eq!(opened.inner.points.len(), set.len());
        for point in opened.inner.points {
            assert!(genuine.iter().any(|own| own.auth_key == point.auth_key));
            assert!(genuine.iter().any(|own| own.enc_key == point.enc_key));
        }
    }
}

fn judge_v2(request: &onionbalance_proto::wire::v2::FrontendRequest) {
    let backends = [InstanceV2 { auth: Some(v2::cookie()), ..InstanceV2::new(v2::BACKEND.address()) }];
    let mut known = KnownDescriptors::default();
    let frontend = v2::BACKEND.address();
    let Ok(approved) = judge_v2::judge(request, &frontend, &backends, &mut known, NOW) else { return };
    assert!((1..=10).contains(&approved.descriptor.points.len()));
    assert!(approved.descriptor.points.iter().all(|point| v2::PUBLISHED.points.contains(point)));
    // A descriptor that was verified before gets the same judgement.
    let again = judge_v2::judge(request, &frontend, &backends, &mut known, NOW).expect("the same request");
    assert_eq!(again.descriptor, approved.descriptor);
}
