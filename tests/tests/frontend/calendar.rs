//! A new time period changes the frontend's blinded key, a new shared-random value the places of its HSDirs, and nobody
//! who visits notices.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::network::{Client, Network};
use onionbalance_tests::programs::Running;

use super::observer::Observer;
use super::site::{PUBLISHED, Site, backends, network, published, wait_published};

/// Between two changes lie three minutes.
const CHANGE: Duration = Duration::from_mins(4);
const BETWEEN_VISITS: Duration = Duration::from_secs(2);
/// Every so many visits are made past the cache.
const VISITS_PER_LOOKUP: usize = 8;

/// Through one change of each kind, wherever on its way the network is at the start: every descriptor is where clients
/// look for it, also those whose consensus is not the newest, and it lists what the backends have.
#[test]
fn nobody_notices_a_new_period_and_a_new_shared_random_value() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let site = Site::new(network, "calendar", &backends, "signer-socket-location: signer\n")?;
    let observer = Observer::new(network)?;
    let visitor = network.new_tor_client()?;
    let _signer = site.signer()?;
    let balancer = site.balancer(network.management().tor())?;
    wait_published(&balancer)?;
    observer.wait_current(&site.address, &backends, &observer)?;

    let (stop, stopped) = channel();
    let visits = thread::scope(|scope| {
        let (visitor, frontend, backends) = (&visitor, &site.address, &backends);
        let visits = scope.spawn(move || visit(visitor, frontend, backends, &stopped));
        let watched = watch(network, &observer, &balancer, frontend, backends);
        drop(stop);
        let visits = visits.join().map_err(|_| anyhow!("the visitor panicked"))?;
        watched.and(visits)
    })?;
    assert!(visits.made > 30, "{visits:?}");
    assert!(visits.failures.is_empty(), "{visits:?}");
    Ok(())
}

/// Looks at every HSDir after each change, until both kinds have been seen.
fn watch(
    network: &Network,
    observer: &Observer,
    balancer: &Running,
    frontend: &OnionAddress,
    backends: &[OnionAddress],
) -> Result<()> {
    let (mut periods, mut shared_randoms) = (0, 0);
    while periods == 0 || shared_randoms == 0 {
        let late = Observer::left_behind(network)?;
        let before = late.phase()?;
        let after = observer.wait_change(&before, CHANGE)?;
        let (period, run) = (after.period != before.period, after.run != before.run);
        if !period && !run {
            // Authorities that have just started agree on their first value in the middle of a run, and never again.
            continue;
        }
        if run && after.previous != before.current {
            // They may also not remember it in the next run: then clients look elsewhere from one moment to the next, and no
            // service could have been there before.
            continue;
        }
        periods += usize::from(period);
        shared_randoms += usize::from(run && after.current.is_some());
        look(observer, &late, balancer, frontend, backends)
            .with_context(|| format!("from {before:?} to {after:?}"))?;
        ensure!(late.phase()? == before, "the late observer is not late any more");
    }
    Ok(())
}

fn look(
    observer: &Observer,
    late: &Observer,
    balancer: &Running,
    frontend: &OnionAddress,
    backends: &[OnionAddress],
) -> Result<()> {
    // The descriptors that clients look for now, by the new consensus or the old one, have been there for long.
    observer.copies(frontend)?;
    late.copies(frontend)?;
    // The one that they will look for next comes now; every HSDir says that it has it.
    let schedule = *observer.directory()?.schedule();
    let wanted = [schedule.first.period.number, schedule.second.period.number];
    balancer.wait_output(&format!("not that {wanted:?} are published"), PUBLISHED, |output| {
        let published = published(output);
        wanted.iter().all(|period| published.contains(period)).then_some(())
    })?;
    observer.wait_current(frontend, backends, observer)?;
    late.wait_current(frontend, backends, observer)
}

#[derive(Debug, Default)]
struct Visits {
    made: usize,
    failures: Vec<String>,
}

/// Visits the frontend again and again until the other end of `stopped` is gone.
fn visit(
    visitor: &Client,
    frontend: &OnionAddress,
    backends: &[OnionAddress],
    stopped: &Receiver<()>,
) -> Result<Visits> {
    let mut visits = Visits::default();
    while stopped.recv_timeout(BETWEEN_VISITS) == Err(RecvTimeoutError::Timeout) {
        if visits.made % VISITS_PER_LOOKUP == 0 {
            visitor.forget()?;
        }
        visits.made += 1;
        if let Err(error) = visitor.get(frontend, 80, "/") {
            // When the backends themselves cannot be reached, it is not the frontend's fault.
            let directly: Result<Vec<_>> =
                backends.iter().map(|backend| visitor.get(backend, 80, "/")).collect();
            if directly.is_ok() {
                visits.failures.push(format!("visit {}: {error:#}", visits.made));
            }
        }
    }
    Ok(visits)
}
