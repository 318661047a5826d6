//! A new time period changes the frontend's blinded key, a new shared-random value its HSDirs, and visitors
//! do not notice.

use anyhow::{Context, Result, ensure};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::network::Network;
use onionbalance_tests::programs::Running;
use onionbalance_tests::traffic::Traffic;

use super::observer::{CHANGE, Observer};
use super::site::{PUBLISHED, Site, backends, network, published, wait_published};

/// The test waits for one change of each kind, from any phase of the network. Every descriptor is on the
/// HSDirs that clients ask, also clients with an older consensus, and lists the backends' present points.
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

    let living = (0..backends.len()).map(|number| network.backend(number)).collect::<Result<Vec<_>>>()?;
    let traffic = Traffic::begin(visitor, &site.address, &living);
    let watched = watch(network, &observer, &balancer, &site.address, &backends);
    let visits = traffic.end()?;
    watched?;
    assert!(visits.frontend.len() > 30, "{visits:?}");
    visits.assert_unharmed()
}

/// Checks every HSDir after each change, until both kinds have occurred.
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
            // Authorities agree on a value in the middle of a run only once, after their start.
            continue;
        }
        if run && after.previous != before.current {
            // They may also not keep it in the next run. Clients then ask other HSDirs from one moment to the
            // next, and no service could have published there before.
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
    // The descriptors that clients look for now, by the new or the old consensus, were published long before.
    observer.copies(frontend)?;
    late.copies(frontend)?;
    // The descriptor that clients look for next is published now, and every HSDir acknowledges it.
    let schedule = *observer.directory()?.schedule();
    let wanted = [schedule.first.period.number, schedule.second.period.number];
    balancer.wait_output(&format!("not that {wanted:?} are published"), PUBLISHED, |output| {
        let published = published(output);
        wanted.iter().all(|period| published.contains(period)).then_some(())
    })?;
    observer.wait_current(frontend, backends, observer)?;
    late.wait_current(frontend, backends, observer)
}
