//! A backend that authorizes its clients, behind a frontend of its own: who has a cookie gets in, others do not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::network::{Backend, Network, Page};

use crate::frontend::Frontend;

/// A page takes less than a second.
const PATIENCE: Duration = Duration::from_secs(8);

/// Visits the frontend without the cookie, then with it; the page.
pub(crate) fn visit(network: &Network, frontend: &Frontend, backend: &Backend) -> Result<Page> {
    let visitor = network.new_tor_client()?;
    ensure!(
        visitor.get_within(PATIENCE, &frontend.onion, 80, "/").is_err(),
        "a visitor without a cookie got in"
    );
    let client = backend.clients().first().context("the backend authorizes nobody")?;
    visitor.authorize(&frontend.onion, &client.cookie)?;
    visitor.forget()?;
    let page = visitor.get(&frontend.onion, 80, "/")?;
    ensure!(page.text() == backend.name(), "{} answered", page.text());
    Ok(page)
}
