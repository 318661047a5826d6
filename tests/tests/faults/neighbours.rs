//! Two services of one balancer: bad backends of one do not delay the other.

use std::time::{Duration, Instant};

use anyhow::Result;
use onionbalance_proto::fixture::{Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CertType, ExpiryHour};
use onionbalance_tests::key_v3::KeyV3;

use crate::backends::{FOLLOWED, with_victim};
use crate::made_up::publish;
use crate::report::note;
use crate::site::{Site, VISITED, VISITS, ensure_within, network, service};

/// The number of the neighbour's backends with false descriptors, and of those without any.
const POISONED: u64 = 3;
const DEAD: u64 = 9;
/// The longest delay of the other service at the start: each backend's next request waits for one of every
/// other.
const DELAY: Duration = Duration::from_secs(5);

pub(crate) fn poisoned(fault: &'static str) -> Result<()> {
    let network = network()?;
    let (site, _, victim) = with_victim(network, fault)?;
    let alone = publication(&site)?;

    let neighbours: Vec<_> = (400..400 + POISONED + DEAD).map(Backend::new).collect();
    for backend in neighbours.iter().take(POISONED.try_into()?) {
        publish(&site.observer, backend, 3, spoil)?;
    }
    let of_neighbour: Vec<_> = neighbours.iter().map(Backend::address).collect();
    site.write_secret("neighbour.pem", KeyV3::named("neighbour").pem()?)?;
    let services = [service("neighbour.pem", &of_neighbour)?, service("front.pem", &site.addresses()?)?];
    site.set_services(&services.concat())?;
    let beside = publication(&site)?;

    let _programs = site.serve(site.tor.tor())?;
    let traffic = site.visit()?;
    traffic.wait(VISITS, VISITED, |_| true)?;
    victim.revive()?;
    victim.wait_published()?;
    let published = Instant::now();
    site.wait_current()?;
    let followed = published.elapsed();

    let visits = traffic.end()?;
    note(
        fault,
        "another service has dead and lying backends only; one of ours restarts",
        &visits,
        Some(followed),
    );
    visits.assert_unharmed()?;
    ensure_within(beside, alone + DELAY)?;
    ensure_within(followed, FOLLOWED)
}

/// The time from the start of a balancer until everything is published.
fn publication(site: &Site<'_>) -> Result<Duration> {
    let _signer = site.signer()?;
    let started = Instant::now();
    let _balancer = site.balancer(site.tor.tor())?;
    site.wait_stored()?;
    Ok(started.elapsed())
}

/// Removes an introduction point's key, so that every reader refuses the descriptor.
fn spoil(published: &mut Published, _: UnixTime) {
    let certificate = published.certify(CertType::AuthKey, [0; 32], ExpiryHour(u32::MAX));
    published.descriptor.inner.points.iter_mut().for_each(|point| point.auth_cert = certificate);
}
