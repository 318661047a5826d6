use std::ops::RangeInclusive;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use tokio::time::Instant;

use super::*;
use crate::commands::golden::assert_golden;
use crate::engine::{
    BackendState, BackendStatus, DescriptorSlot, Gone, HsdirStatus, Notice, ServiceStatus, UploadProblem,
    UploadState,
};
use crate::status::testing::{backend, descriptor, event, report, report_of, service, state_of};

const SHOP: &str = "erhgs7ir6c6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixsmbyd.onion";
const WEB: [&str; 2] = [
    "chud4ujagpl6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixr6iad.onion",
    "nhfaosfhsu56cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxix2onad.onion",
];

/// A shop that lost a backend ten minutes ago, after 50 minutes, and of whose descriptors an HSDir lacks one.
fn shop() -> Report {
    let with_hsdirs = |period, stored_ago, numbers: RangeInclusive<u8>| {
        let mut descriptor = descriptor(period, 0, Some(stored_ago));
        let hsdir = descriptor.hsdirs.remove(0);
        let numbered = |number| HsdirStatus { hsdir: Fingerprint([number; 20]), ..hsdir.clone() };
        descriptor.hsdirs = numbers.map(numbered).collect();
        descriptor
    };
    let mut first = with_hsdirs(20785, 1260, 1..=8);
    let failing = first.hsdirs.last_mut().unwrap();
    failing.state = UploadState::Pending { failures: 3 };
    failing.problem = Some(UploadProblem::Silent);
    let lost = BackendStatus {
        state: BackendState::Gone(Gone::NotFound),
        missing_for: Some(Duration::from_mins(10)),
        ..backend(WEB[1], Some(3000))
    };
    let status = ServiceStatus {
        descriptors: vec![first, with_hsdirs(20786, 1100, 9..=16)],
        backends: vec![backend(WEB[0], Some(3000)), lost],
        ..service(SHOP)
    };
    let mut state = state_of(vec![report(status, Some("shop"), &[(WEB[0], "web1"), (WEB[1], "web <2>")])]);
    let ago = |minutes| Instant::now() - Duration::from_mins(minutes);
    let (slot, after) = (DescriptorSlot { period: 20785, replica: 0 }, Duration::from_secs(1));
    state.tors[0].history = vec![
        event(&Notice::BackendGone { backend: WEB[1].into(), why: Gone::NotFound }, ago(10)),
        event(&Notice::DescriptorComplete { service: SHOP.into(), slot, hsdirs: 7, after }, ago(40)),
        event(&Notice::BackendFound { backend: WEB[1].into(), points: 3, after: None }, ago(59)),
        event(&Notice::BackendFound { backend: WEB[0].into(), points: 3, after: None }, ago(59)),
    ];
    report_of(&state, UnixTime(1_795_336_111))
}

async fn after_an_hour() {
    tokio::time::advance(Duration::from_hours(2)).await;
}

/// After a change, look at the golden file in a browser.
#[tokio::test(start_paused = true)]
async fn a_page_has_everything() {
    after_an_hour().await;
    let page = render(&shop());
    assert_golden("status/page/golden.html", &page);
}

/// Ten services of ten backends, after a day with as many events as are kept.
#[tokio::test(start_paused = true)]
async fn a_page_of_ten_services_is_small() {
    after_an_hour().await;
    let mut report = shop();
    let shop = report.services.remove(0);
    for number in 0..10 {
        let instances = shop.instances.iter().cycle().take(10).cloned().collect();
        let mut service = Service { onion_address: format!("{number}{SHOP}"), instances, ..shop.clone() };
        for (backend, instance) in service.instances.iter_mut().enumerate() {
            instance.onion_address = format!("{number}{backend}{}", WEB[0]);
        }
        report.services.push(service);
    }
    report.events = report.events.iter().cycle().take(500).cloned().collect();
    for (event, number) in report.events.iter_mut().zip(0..) {
        event.service = event.service.take().map(|address| format!("{}{address}", number % 10));
        event.instance = event.instance.take().map(|_| format!("{:02}{}", number % 100, WEB[0]));
    }
    let page = render(&report);
    assert!(page.len() < 200_000, "{}", page.len());
}

#[tokio::test(start_paused = true)]
async fn a_page_runs_nothing_and_loads_nothing() {
    after_an_hour().await;
    let page = render(&shop());
    assert!(page.contains("web &lt;2&gt;") && !page.contains("<2>"));
    for word in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redacted_page_has_no_address() {
    after_an_hour().await;
    let mut shop = shop();
    // An event may be about a backend and a relay that the report does not list any more.
    let (old, relay) = ("o6ff73vmigi4oxka.onion", "fe".repeat(20));
    shop.events[0].text =
        format!("${relay}~nick has nothing of {old}\nand {}", SHOP.trim_end_matches(".onion"));
    let page = render(&redacted(&shop).unwrap());
    let hsdir = "01".repeat(20);
    for address in [SHOP, &hsdir, old, &relay].into_iter().chain(WEB) {
        assert!(!page.contains(address.trim_end_matches(".onion")), "{address}");
    }
    for number in ["service-1.onion", "backend-2.onion", "hsdir-1"] {
        assert!(page.contains(number), "{page}");
    }
    assert!(page.contains("$hsdir-17~nick has nothing of address-1.onion\nand service-1"), "{page}");
    let mut strange = shop;
    strange.services[0].descriptors[0].hsdir_states[0].fingerprint = "01 02".into();
    assert!(redacted(&strange).is_err(), "what cannot be redacted is not shown");
}
