//! The test network itself: it comes up, it answers, and it goes.

use anyhow::{Context, Result};
use onionbalance_tests::network::Network;

#[test]
fn every_backend_answers_with_its_name() -> Result<()> {
    let network = Network::shared()?;
    for backend in network.backends() {
        let page = network.client().get(&backend.address(), 80, "/")?;
        assert_eq!((page.status, page.text().as_str()), (200, backend.name()));
    }
    Ok(())
}

#[test]
fn every_backends_descriptor_can_be_fetched_past_the_cache() -> Result<()> {
    let network = Network::shared()?;
    let mut control = network.management().control()?;
    for backend in network.backends() {
        let text = control.hsfetch(&backend.address().to_string(), None)?.context("an HSDir lacks it")?;
        assert!(text.starts_with("hs-descriptor 3\n"), "{text}");
    }
    Ok(())
}

#[test]
fn what_nobody_published_is_not_found() -> Result<()> {
    let network = Network::shared()?;
    let client = network.new_tor_client()?;
    let hsdirs = network.hsdirs()?;
    assert_eq!(hsdirs.len(), 9);
    let stranger = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    for hsdir in &hsdirs {
        assert_eq!(client.control()?.hsfetch(stranger, Some(hsdir))?, None);
    }
    Ok(())
}

#[test]
fn a_long_page_arrives_whole() -> Result<()> {
    let network = Network::shared()?;
    let page = network.client().get(&network.backend(1)?.address(), 80, "/bytes/300000")?;
    assert_eq!((page.status, page.body.len()), (200, 300_000));
    Ok(())
}
