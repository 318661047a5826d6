//! A balancer with several tors: it spreads its services over them, and each tor has an engine of its own. So
//! each is a simulation, and all run at once, on as many threads as there are cores.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use onionbalance_simulator::invariants::Report;
use onionbalance_simulator::scenario::Scenario;
use onionbalance_simulator::simulate;

/// The scenarios of `tors` tors, which share the services of `whole` evenly. A tor without services has none.
pub(crate) fn shares(whole: &Scenario, tors: usize) -> Vec<Scenario> {
    let share = |tor| {
        let services = whole.services / tors + usize::from(tor < whole.services % tors);
        let backends = whole.each.map_or(whole.backends, |each| each * services);
        Scenario { seed: whole.seed + tor as u64, services, backends, ..whole.clone() }
    };
    (0..tors).map(share).filter(|share| share.services > 0).collect()
}

/// Runs all scenarios, and tells each result as soon as it is known. Returns the sum of the reports and the
/// number of broken promises.
pub(crate) fn run(shares: Vec<Scenario>, tell: impl Fn(&str) + Sync) -> (Report, usize) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(shares.len());
    let next = Mutex::new(shares.into_iter().enumerate());
    let sum = Mutex::new((Report::default(), 0));
    let take = || next.lock().ok()?.next();
    let work = || {
        while let Some((tor, scenario)) = take() {
            let (services, began) = (scenario.services, Instant::now());
            let result = simulate(scenario);
            let line = match &result {
                Ok(report) => format!("{report:?}"),
                Err(failure) => failure.to_string(),
            };
            let seconds = began.elapsed().as_secs_f64();
            tell(&format!("tor {tor}, {services} services: {seconds:.1} s: {line}"));
            if let Ok((reports, broken)) = sum.lock().as_deref_mut() {
                match result {
                    Ok(report) => reports.add(&report),
                    Err(_) => *broken += 1,
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    sum.into_inner().unwrap_or_default()
}
