//! Screens of made-up states, compared with the files in `golden/`.

use std::path::Path;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::super::ask::AskError;
use super::*;
use crate::commands::golden::assert_golden;
use crate::confinement::Lacking;
use crate::engine::{
    BackendState, BackendStatus, Drain, Gone, HsdirAnswer, HsdirStatus, ServiceStatus, Source, SourceStatus,
    UploadState,
};
use crate::network::Absence;
use crate::runtime::State;
use crate::status::testing::{backend, descriptor, report, report_of, service, state_of, unwell, well};

const NOW: UnixTime = UnixTime(1_795_336_111);
const LOOK: Look = Look { is_coloured: false, has_unicode: true, extent: Extent::Screen };
const HOUR: Duration = Duration::from_secs(3600);
const SHOP: &str = "erhgs7ir6c6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixsmbyd.onion";
const WEB: [&str; 3] = [
    "chud4ujagpl6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixr6iad.onion",
    "jaz7auv7ufz6cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxixf7cad.onion",
    "nhfaosfhsu56cwbyhuxhhv3y6tlhpsbknuwwbyrjmz3lwvckxxix2onad.onion",
];

#[track_caller]
fn assert_is(name: &str, text: &str) {
    assert_golden(Path::new("status/screen/golden").join(name), text);
}

fn screen(state: &State, look: Look, service: Option<&str>) -> String {
    let text = Screen::new(look, &report_of(state, NOW)).of(service);
    if look.extent == Extent::Screen && !look.is_coloured {
        let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(widest.chars().count() <= WIDTH, "{widest}");
    }
    text
}

/// A shop with three live backends.
fn shop() -> ServiceStatus {
    let hsdir = |number| HsdirStatus {
        hsdir: Fingerprint([number; 20]),
        state: UploadState::Stored,
        revision: Some(9),
        problem: None,
    };
    let with_hsdirs = |period, stored_ago| {
        let mut descriptor = descriptor(period, 0, Some(stored_ago));
        descriptor.hsdirs = (1..=8).map(hsdir).collect();
        descriptor.points = 9;
        descriptor
    };
    ServiceStatus {
        points: 9,
        descriptors: vec![with_hsdirs(20785, 1260), with_hsdirs(20786, 1100)],
        backends: WEB.iter().map(|address| backend(address, Some(15_000))).collect(),
        ..service(SHOP)
    }
}

/// The backend `web3`, which has gone.
fn gone() -> BackendStatus {
    let answer = |number| SourceStatus {
        source: Source::Hsdir { hsdir: Fingerprint([number; 20]), replica: 0 },
        answer: Some(HsdirAnswer::NotFound),
    };
    BackendStatus {
        state: BackendState::Gone(Gone::NotFound),
        missing_for: Some(HOUR / 5),
        asked_ago: Some(Duration::from_secs(40)),
        sources: (1..=8).map(answer).collect(),
        ..backend(WEB[2], Some(15_000))
    }
}

/// The state with the shop, after three days.
fn state(service: ServiceStatus) -> State {
    let names = [(WEB[0], "web1"), (WEB[1], "web2"), (WEB[2], "web3")];
    let mut state = state_of(vec![report(service, Some("shop"), &names)]);
    state.uptime = HOUR * 76;
    state.tors[0].since = HOUR * 76;
    state
}

fn degraded() -> State {
    let mut shop = shop();
    shop.points = 6;
    shop.descriptors.iter_mut().for_each(|descriptor| descriptor.points = 6);
    shop.backends[2] = gone();
    shop.descriptors[1].hsdirs[3].state = UploadState::Pending { failures: 3 };
    shop.descriptors[1].incomplete_for = Some(Duration::from_secs(400));
    state(shop)
}

#[test]
fn all_is_well() {
    assert_is("ok.txt", &screen(&state(shop()), LOOK, None));
}

#[test]
fn a_backend_is_gone_and_an_hsdir_lacks_a_descriptor() {
    assert_is("degraded.txt", &screen(&degraded(), LOOK, None));
}

#[test]
fn a_backend_is_drained_and_another_one_gets_less_than_its_weight() {
    let mut shop = shop();
    shop.backends[0].weight = 0;
    let shares = [(None, 0.0), (Some(0.1), 0.25), (Some(0.9), 0.75)];
    for (backend, (wished, share)) in shop.backends.iter_mut().zip(shares) {
        (backend.wished_share, backend.share) = (wished, Some(share));
    }
    (shop.backends[1].weight, shop.backends[2].weight) = (1, 9);
    assert_is("weights.txt", &screen(&state(shop), LOOK, None));
}

#[test]
fn a_backend_is_unwell() {
    let mut shop = shop();
    for (backend, health) in
        shop.backends.iter_mut().zip([well(), unwell("it refused the connection"), well()])
    {
        backend.health = Some(health);
    }
    for (backend, share) in shop.backends.iter_mut().zip([0.5, 0.0, 0.5]) {
        backend.share = Some(share);
    }
    assert_is("unwell.txt", &screen(&state(shop), LOOK, None));
}

#[test]
fn drains_by_command_have_a_line_each() {
    let mut shop = shop();
    shop.points = 3;
    let drains = [Some(Drain { until: Some(UnixTime(1_795_343_400)) }), Some(Drain { until: None }), None];
    for (backend, drain) in shop.backends.iter_mut().zip(drains) {
        (backend.drain, backend.share) = (drain, Some(if drain.is_some() { 0.0 } else { 1.0 }));
    }
    assert_is("drains.txt", &screen(&state(shop), LOOK, None));
}

#[test]
fn plain_terminals_get_plain_characters() {
    let text = screen(&degraded(), Look { has_unicode: false, ..LOOK }, None);
    assert!(text.is_ascii(), "{text}");
    assert_is("ascii.txt", &text);
}

#[test]
fn colours_are_beside_words() {
    let text = screen(&degraded(), Look { is_coloured: true, ..LOOK }, None);
    assert_is("coloured.txt", &text);
}

#[test]
fn programs_get_whole_lines_and_addresses() {
    assert_is("pipe.txt", &screen(&degraded(), Look { extent: Extent::Lines, ..LOOK }, None));
}

#[test]
fn one_service_is_shown_by_its_name_or_address() {
    let text = screen(&degraded(), LOOK, Some("shop"));
    assert_is("service.txt", &text);
    for address in [SHOP, SHOP.strip_suffix(".onion").unwrap()] {
        assert_eq!(screen(&degraded(), LOOK, Some(address)), text);
    }
    assert_is("no-service.txt", &screen(&degraded(), LOOK, Some("forum")));
}

#[test]
fn all_backends_are_gone() {
    let mut shop = shop();
    shop.stale_for = Some(HOUR / 10);
    for backend in &mut shop.backends {
        *backend = BackendStatus { backend: backend.backend.clone(), missing_for: Some(HOUR / 10), ..gone() };
    }
    assert_is("down.txt", &screen(&state(shop), LOOK, None));
}

#[test]
fn a_process_begins() {
    let mut shop = shop();
    shop.points = 0;
    shop.descriptors.clear();
    shop.backends =
        WEB.iter().map(|web| BackendStatus { state: BackendState::Unknown, ..backend(web, None) }).collect();
    let mut state = state(shop);
    (state.uptime, state.tors[0].since) = (Duration::from_secs(9), Duration::from_secs(8));
    assert_is("starting.txt", &screen(&state, LOOK, None));
}

#[test]
fn a_tor_does_not_get_ready_and_the_balancer_is_roots() {
    let mut state = state(shop());
    let (version, step) = ("0.4.9.11".to_owned(), "Loading relay descriptors".to_owned());
    (state.tors[0].is_ready, state.tors[0].since) = (false, HOUR / 5);
    state.tors[0].absence = Some(Absence::Starting { version, percent: 45, step });
    state.lacking = Lacking { user: true, landlock: false };
    assert_is("bootstrapping.txt", &screen(&state, LOOK, None));
}

#[test]
fn the_signer_has_never_been_there() {
    let problem =
        "the signer is not ready: cannot read /etc/onionbalance/shop.key: Permission denied".to_owned();
    let since = tokio::time::Instant::now().checked_sub(Duration::from_secs(129)).unwrap();
    let signer = Some(crate::signer::Trouble { since, problem });
    let state = State { uptime: Duration::from_secs(130), signer, ..State::default() };
    assert_is("no-signer.txt", &screen(&state, LOOK, None));
}

#[test]
fn many_services_have_a_line_each() {
    let mut services = Vec::new();
    for number in 0..12 {
        let address = format!("{}{SHOP}", char::from(b'a' + number));
        let mut status = ServiceStatus { service: address.as_str().into(), ..shop() };
        if number == 7 {
            status.backends[2] = gone();
            status.points = 6;
        }
        services.push(report(status, (number != 3).then(|| format!("service {number}")).as_deref(), &[]));
    }
    let mut state = state_of(services);
    state.uptime = HOUR * 722;
    assert_is("many.txt", &screen(&state, LOOK, None));
}

#[test]
fn nobody_answers() {
    assert_is("unknown.txt", &LOOK.unknown(&AskError::Nobody("/run/onionbalance-status/status.sock".into())));
    assert_is(
        "forbidden.txt",
        &LOOK.unknown(&AskError::Forbidden("/run/onionbalance-status/status.sock".into())),
    );
}

#[test]
fn control_characters_reach_no_terminal() {
    let mut report = report_of(&degraded(), NOW);
    report.problems[0].text = "web\u{1b}[2J".to_owned();
    let text = Screen::new(LOOK, &report).of(None);
    assert!(!text.contains('\u{1b}') && text.contains("web?[2J"), "{text}");
}
