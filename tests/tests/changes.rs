//! Changes of a running network.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_proto::v3::address::OnionAddress;
use onionbalance_tests::network::{Backend, Network, Plan};

#[test]
fn a_backend_dies_and_comes_back() -> Result<()> {
    let network = Network::shared()?;
    let backend = network.start_backend()?;
    backend.wait_published()?;
    answers(network, &backend)?;
    backend.kill()?;
    let visitor = network.new_tor_client()?;
    assert!(visitor.get_within(Duration::from_secs(5), &backend.address(), 80, "/").is_err());
    backend.revive()?;
    backend.wait_published()?;
    visitor.restart()?;
    assert_eq!(visitor.get(&backend.address(), 80, "/")?.text(), backend.name());
    Ok(())
}

#[test]
fn a_frozen_backend_keeps_its_descriptor() -> Result<()> {
    let network = Network::shared()?;
    let backend = network.start_backend()?;
    backend.wait_published()?;
    backend.freeze()?;
    let mut control = network.management().control()?;
    assert!(control.hsfetch(&backend.address().to_string(), None)?.is_some());
    backend.thaw()?;
    answers(network, &backend)
}

#[test]
fn the_management_tor_restarts_where_it_was() -> Result<()> {
    let network = Network::start(&Plan { backends: 0, ..Plan::default() })?;
    let management = network.management();
    let address = management.control_address()?;
    assert!(management.control_socket().exists());
    management.restart()?;
    assert_eq!(management.control_address()?, address);
    management.tor().wait_bootstrapped()?;
    assert!(management.control_socket().exists());
    let relay = network.relay(0)?;
    relay.kill()?;
    relay.revive()?;
    assert_eq!(relay.tor().control()?.getinfo("fingerprint")?, relay.fingerprint());
    Ok(())
}

#[test]
fn frontends_can_be_given_later() -> Result<()> {
    let network = Network::start(&Plan { backends: 2, ..Plan::default() })?;
    let backend = network.backend(0)?;
    assert!(!backend.tor().log()?.contains("OnionBalance"));
    // The address in tor's src/test/hs_build_address.py; any valid address would do.
    let frontend: OnionAddress = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid".parse()?;
    network.set_frontends(&[frontend])?;
    for backend in network.backends() {
        let registered = format!("OnionBalance: MasterOnionAddress {frontend} registered");
        assert!(backend.tor().log()?.contains(&registered));
        network.client().forget()?;
        answers(&network, &backend)?;
    }
    Ok(())
}

fn answers(network: &Network, backend: &Backend) -> Result<()> {
    let page = network.client().get(&backend.address(), 80, "/").context(backend.name().to_owned())?;
    ensure!(page.text() == backend.name(), "{} answered instead of {}", page.text(), backend.name());
    Ok(())
}
