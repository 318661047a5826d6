//! The engine on a made-up network, seed after seed: a bounded part of what `hunt` does.

use std::time::{Duration, Instant};

use onionbalance_simulator::invariants::LookUps;
use onionbalance_simulator::network::calendar::Calendar;
use onionbalance_simulator::scenario::{Scenario, Version};
use onionbalance_simulator::simulate;

/// For how long seeds are tried. There are always more.
const BUDGET: Duration = Duration::from_secs(25);
/// So many are tried in any case.
const SEEDS: u64 = 8;

#[test]
fn promises_are_kept_whatever_goes_wrong() {
    let began = Instant::now();
    let mut all = LookUps::default();
    for seed in 1.. {
        if seed > SEEDS && began.elapsed() > BUDGET {
            break;
        }
        let report = simulate(Scenario::of_seed(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        all.add(report.look_ups);
    }
    let LookUps { asked, served, owed, excused, .. } = all;
    // Otherwise the promises would mean little.
    assert!(excused < owed / 2, "{excused} of {} look-ups were owed nothing", owed + excused);
    assert!(served > asked / 10 * 8, "{served} of {asked} HSDirs had what clients look for");
}

#[test]
fn nothing_is_amiss_where_nothing_goes_wrong() {
    for version in [Version::V2, Version::V3] {
        let report = simulate(Scenario::crowd(version)).unwrap_or_else(|failure| panic!("{failure}"));
        let LookUps { asked, served, owed, excused, .. } = report.look_ups;
        assert!(served > asked / 100 * 95, "{report:?}");
        assert!(excused < owed / 4, "{report:?}");
    }
}

/// At 9 s a signature all descriptors take nine minutes.
#[test]
fn a_slow_signer_gets_no_more_to_do_than_it_can() {
    let scenario = Scenario { signature: Duration::from_secs(9), ..Scenario::crowd(Version::V3) };
    // Two of each service; when a period begins, the one before them may still wait.
    let descriptors = 3 * scenario.services;
    let report = simulate(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.longest_line > 1 && report.longest_line <= descriptors, "{report:?}");
}

/// 180 periods of eight minutes, in which the engine's timers shrink and circuits take as long as ever.
#[test]
fn nothing_is_amiss_in_a_testing_network() {
    let calendar = Calendar::testing(8).expect("it divides a day");
    let usual = Scenario::crowd(Version::V3);
    let scenario = Scenario { calendar, services: 2, backends: 3, relays: 100, ..usual };
    let report = simulate(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    let LookUps { asked, served, .. } = report.look_ups;
    assert!(served > asked / 10 * 8, "{report:?}");
}

#[test]
fn equal_scenarios_run_equally() {
    for version in [Version::V2, Version::V3] {
        let scenario = |seed| Scenario { version, days: 1, ..Scenario::of_seed(seed) };
        let report = |seed| simulate(scenario(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(report(5), report(5));
        assert_ne!(report(5).digest, report(6).digest);
    }
}
