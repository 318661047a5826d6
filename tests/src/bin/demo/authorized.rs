//! A backend that authorizes its clients, behind a frontend of its own: clients with a cookie reach it,
//! others do not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::network::{Authorization, Backend, Network};
use onionbalance_tests::onion::OnionVersion;

use crate::frontend::Frontend;
use crate::screen::Screen;

/// A frontend for authorized clients.
pub(crate) struct Closed {
    pub(crate) frontend: Frontend,
    /// The only backend of this frontend.
    pub(crate) backends: [Arc<Backend>; 1],
}

impl Closed {
    /// Starts the backend.
    pub(crate) fn start(screen: &Screen, network: &Network) -> Result<Self> {
        let backend = network.start_authorized_backend(Some(Authorization::Basic))?;
        backend.wait_published()?;
        screen.stage("one more backend, for authorized clients only");
        Ok(Self { frontend: Frontend::generate(OnionVersion::V2)?, backends: [backend] })
    }

    /// Visits the frontend, once published, without the cookie and with it.
    pub(crate) fn visit(&self, screen: &Screen, network: &Network) -> Result<()> {
        let Self { frontend, backends: [backend] } = self;
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
        screen.stage(&format!(
            "the frontend for authorized clients: refused without a cookie, with it {} after {:.2} s",
            page.text(),
            page.time.as_secs_f64()
        ));
        Ok(())
    }
}

/// A page takes less than a second.
const PATIENCE: Duration = Duration::from_secs(8);
