//! A new time period moves the frontend's descriptors to other HSDirs, and visitors do not notice.
//!
//! A service's key determines the time of day at which its periods begin. So the frontends' keys are chosen
//! to fit the time of day, and no clock has to be set.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use onionbalance_proto::v2::period::{OVERLAP, seconds_left};
use onionbalance_proto::v2::{OnionAddress, TimePeriod};
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::network::Client;
use onionbalance_tests::programs::Running;

use super::observer::{Observer, shares};
use super::site::{PUBLISHED, Site, backends, network, now, plain, wait_published};

const BETWEEN_VISITS: Duration = Duration::from_secs(2);
/// The number of visits after which the client forgets its descriptors.
const VISITS_PER_LOOKUP: usize = 8;
/// Time for the first publication, in seconds.
const SOON: u64 = 45;
/// Seconds between two possible beginnings of periods: a key's first byte divides a day into 256 parts.
const STEP: u64 = 338;
/// The time for which visits continue in the new period.
const AFTERWARDS: u64 = 30;

#[test]
fn nobody_notices_a_new_period() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let rolls = KeyV2::with_period_ending(now()?, SOON..=SOON + STEP)?;
    let overlaps = KeyV2::with_period_ending(now()?, OVERLAP + SOON..=OVERLAP + SOON + STEP)?;
    let instances = plain(&backends)?;
    let frontends: [(&KeyV2, &[_]); 2] = [(&rolls, &instances), (&overlaps, &instances)];
    let site = Site::new(network, "rollover", &frontends, "signer-socket-location: signer\n")?;
    let observer = Observer::new(network)?;
    let visitor = network.new_tor_client()?;
    let _signer = site.signer()?;
    let balancer = site.balancer(network.management().tor())?;
    // The overlap has begun: the next period's descriptors have been published, too.
    wait_published(&balancer, &rolls.address(), 4)?;
    wait_published(&balancer, &overlaps.address(), 2)?;
    let next = TimePeriod::at(now()?, &rolls.address()).next();
    let points = observer.points(&backends)?;
    shares(&observer.copies_of(&rolls.address(), next)?, &points)?;

    let (stop, stopped) = channel();
    let visits = thread::scope(|scope| {
        let (visitor, service) = (&visitor, rolls.address());
        let visits = scope.spawn(move || visit(visitor, &service, &stopped));
        let watched = watch(&observer, &balancer, &rolls.address(), &overlaps.address());
        drop(stop);
        let visits = visits.join().map_err(|_| anyhow!("the visitor panicked"))?;
        watched.map(|()| visits)
    })?;
    ensure!(visits.made > 10 && visits.failures.is_empty(), "{visits:?}");
    assert_eq!(TimePeriod::at(now()?, &rolls.address()), next);
    observer.wait_copies(&rolls.address(), &backends, |copies, points| shares(copies, points).map(drop))?;
    Ok(())
}

/// Until one frontend's overlap has begun, and the other's new period has.
fn watch(
    observer: &Observer,
    balancer: &Running,
    rolls: &OnionAddress,
    overlaps: &OnionAddress,
) -> Result<()> {
    let end = TimePeriod::at(now()?, rolls).next().start(rolls).plus(AFTERWARDS);
    let to_overlap = seconds_left(now()?, overlaps).saturating_sub(OVERLAP);
    let period = TimePeriod::at(now()?, overlaps).next();
    let begun = format!("period={}", period.0);
    balancer.wait_output(
        "nothing of the next period",
        Duration::from_secs(to_overlap) + PUBLISHED,
        |output| {
            let lines = output.lines().filter(|line| line.contains(" published descriptor "));
            let of_next = lines.filter(|line| line.contains(&begun) && line.contains(&overlaps.to_string()));
            (of_next.count() >= 2).then_some(())
        },
    )?;
    ensure!(seconds_left(now()?, overlaps) <= OVERLAP, "too early");
    ensure!(observer.copies_of(overlaps, period)?.len() == 6, "not at all HSDirs");
    // A period's end has no event, so the test waits for its time.
    thread::sleep(Duration::from_secs(end.since(now()?)));
    Ok(())
}

#[derive(Debug, Default)]
struct Visits {
    made: usize,
    failures: Vec<String>,
}

/// Visits the frontend again and again until the other end of `stopped` is gone.
fn visit(visitor: &Client, frontend: &OnionAddress, stopped: &Receiver<()>) -> Visits {
    let mut visits = Visits::default();
    while stopped.recv_timeout(BETWEEN_VISITS) == Err(RecvTimeoutError::Timeout) {
        let looked_up = if visits.made % VISITS_PER_LOOKUP == 0 { visitor.forget() } else { Ok(()) };
        visits.made += 1;
        if let Err(error) = looked_up.and_then(|()| visitor.get(frontend, 80, "/")) {
            visits.failures.push(format!("visit {}: {error:#}", visits.made));
        }
    }
    visits
}
