//! A network with v2 onion services: backends answer, with and without client authorization.

use std::time::Duration;

use anyhow::Result;
use onionbalance_tests::network::{Authorization, Backend, Network, Plan};

/// Long enough for a page, and for tor to find out that none will come.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn backends_answer_those_whom_they_authorize() -> Result<()> {
    let network = Network::start(&Plan { backends: 1, ..Plan::v2() })?;
    let plain = network.backend(0)?;
    assert_eq!(network.client().get(&plain.address(), 80, "/")?.text(), plain.name());
    for authorization in [Authorization::Basic, Authorization::Stealth] {
        let backend = network.start_authorized_backend(Some(authorization))?;
        backend.wait_published()?;
        assert_eq!(backend.clients().len(), 2);
        authorized_clients_only(&network, &backend)?;
    }
    Ok(())
}

fn authorized_clients_only(network: &Network, backend: &Backend) -> Result<()> {
    let visitor = network.new_tor_client()?;
    assert!(visitor.get_within(PATIENCE, &backend.address(), 80, "/").is_err());
    for client in backend.clients() {
        visitor.authorize(&client.address, &client.cookie)?;
        visitor.forget()?;
        assert_eq!(visitor.get(&client.address, 80, "/")?.text(), backend.name());
    }
    Ok(())
}
