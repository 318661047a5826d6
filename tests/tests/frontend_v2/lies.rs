//! Wrong descriptors on HSDirs that accept them silently.

use anyhow::{Context, Result, ensure};
use onionbalance_proto::fixture::v2::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::{Readers, publication_time};
use onionbalance_proto::v2::{OnionAddress, Replica};
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::onion::Onion;
use rand_core::OsRng;

use super::observer::{Observer, shares};
use super::site::{PUBLISHED, Site, backends, network, now, plain, wait_published};

const HOUR: u64 = 3600;

/// Uploads descriptors of the service with this key and publication time to all its HSDirs.
fn publish(observer: &Observer, key: &Backend, published: UnixTime, points: usize) -> Result<()> {
    let service = key.address();
    let mut control = observer.client.control()?;
    let mut descriptor = key.publish(now()?, points, &mut OsRng);
    descriptor.published = publication_time(published);
    for (term, hsdirs) in observer.places(&service)? {
        descriptor.replica = term.replica;
        let text = key.text(&descriptor, Readers::Everyone, &mut OsRng);
        control.hspost(&Onion::V2(service), &hsdirs, &text)?;
    }
    Ok(())
}

/// Backends with a descriptor that is hours old, or from the future, are not published; the others are.
#[test]
fn the_dead_and_the_liars_are_named_and_left_out() -> Result<()> {
    let network = network()?;
    let observer = Observer::new(network)?;
    let honest = backends(network)?;
    let (dead, ahead) = (Backend::generate(&mut OsRng), Backend::generate(&mut OsRng));
    publish(&observer, &dead, now()?.minus(4 * HOUR), 3)?;
    publish(&observer, &ahead, now()?.plus(4 * HOUR), 3)?;
    let mut instances = plain(&honest)?;
    instances.extend([(dead.address(), None), (ahead.address(), None)]);
    let key = KeyV2::generate()?;
    let site = Site::new(network, "lies", &[(&key, &instances)], "")?;
    let balancer = site.balancer(observer.client.tor())?;
    let warning = |service: OnionAddress, what: &str| {
        let named = service.to_string();
        balancer.wait_output(&format!("nothing about {named}"), PUBLISHED, |output| {
            output.lines().any(|line| line.contains(&named) && line.contains(what)).then_some(())
        })
    };
    warning(dead.address(), "it has not published for hours")?;
    warning(ahead.address(), "is ahead of this machine's clock")?;
    wait_published(&balancer, &key.address(), 2)?;
    observer.wait_copies(&key.address(), &honest, |copies, points| shares(copies, points).map(drop))?;
    Ok(())
}

/// HSDirs keep the descriptor with the later publication time, and acknowledge the other one, too.
#[test]
fn an_hsdirs_word_is_not_taken_for_the_deed() -> Result<()> {
    let network = network()?;
    let observer = Observer::new(network)?;
    let honest = backends(network)?;
    let key = KeyV2::generate()?;
    let service = key.address();
    let own = Backend::from_pem(&key.pem()?);
    // It is uploaded to the HSDirs of one replica only.
    let mut later = own.publish(now()?, 1, &mut OsRng);
    later.published = later.published.plus(20 * HOUR);
    let [(term, hsdirs), _] = observer.places(&service)?;
    ensure!(term.replica == Replica::First, "{term:?}");
    let text = own.text(&later, Readers::Everyone, &mut OsRng);
    observer.client.control()?.hspost(&Onion::V2(service), &hsdirs, &text)?;

    let site = Site::new(network, "word", &[(&key, &plain(&honest)?)], "")?;
    let balancer = site.balancer(observer.client.tor())?;
    // The HSDirs have one reason, so that the first of them is named.
    let warning = balancer.wait_line("with a later publication time", PUBLISHED)?;
    assert!(warning.contains(" WARN ") && warning.contains("replica=0"), "{warning}");
    assert!(hsdirs.iter().any(|hsdir| warning.contains(&format!("hsdir={hsdir}"))), "{warning}");
    wait_published(&balancer, &service, 1)?;
    let output = balancer.output()?;
    let published = output.lines().find(|line| line.contains(" published descriptor "));
    assert!(published.context("it was awaited")?.contains("replica=1"), "{output}");
    Ok(())
}
