use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::time::Instant;

use super::*;
use crate::commands::golden::assert_golden;
use crate::engine::{
    BackendState, BackendStatus, DescriptorSlot, Gone, HsdirStatus, Notice, ServiceStatus, UploadState,
};
use crate::status::testing::{backend, descriptor, event, report, report_of, service, state_of};

const SHOP: &str = "erhgs7ir6c6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixsmbyd.onion";
const WEB: [&str; 2] = [
    "chud4ujagpl6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixr6iad.onion",
    "nhfaosfhsu56cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxix2onad.onion",
];

/// A shop that lost a backend ten minutes ago, after 50 minutes, and of whose descriptors an HSDir lacks one.
fn shop() -> Report {
    let mut first = descriptor(20785, 0, Some(1260));
    let hsdir = first.hsdirs[0].clone();
    let failing = HsdirStatus { state: UploadState::Pending { failures: 3 }, ..hsdir.clone() };
    first.hsdirs = vec![hsdir.clone(), hsdir, failing];
    let lost = BackendStatus {
        state: BackendState::Gone(Gone::NotFound),
        missing_for: Some(Duration::from_mins(10)),
        ..backend(WEB[1], Some(3000))
    };
    let status = ServiceStatus {
        descriptors: vec![first, descriptor(20786, 0, Some(1100))],
        backends: vec![backend(WEB[0], Some(3000)), lost],
        ..service(SHOP)
    };
    let mut state = state_of(vec![report(status, Some("shop"), &[(WEB[0], "web1"), (WEB[1], "web <2>")])]);
    let ago = |minutes| Instant::now() - Duration::from_mins(minutes);
    let (slot, after) = (DescriptorSlot { period: 20785, replica: 0 }, Duration::from_secs(1));
    state.tors[0].history = vec![
        event(&Notice::BackendGone { backend: WEB[1].into(), why: Gone::NotFound }, ago(10)),
        event(&Notice::DescriptorComplete { service: SHOP.into(), slot, hsdirs: 3, after }, ago(40)),
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
    assert!(page.len() < 20_000, "{}", page.len());
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
    let page = render(&redacted(&shop()).unwrap());
    let hsdir = "01".repeat(20);
    for address in [SHOP, &hsdir].into_iter().chain(WEB) {
        assert!(!page.contains(address.trim_end_matches(".onion")), "{address}");
    }
    for number in ["service-1.onion", "backend-2.onion", "hsdir-1"] {
        assert!(page.contains(number), "{page}");
    }
    let mut strange = shop();
    strange.services[0].onion_address = ".onion".into();
    assert!(redacted(&strange).is_err(), "what cannot be redacted is not shown");
}
