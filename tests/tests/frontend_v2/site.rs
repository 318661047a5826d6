//! The site of one test: frontends, a configuration in the form of Onionbalance 0.1.8, and the programs.

use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::OnionAddress;
use onionbalance_tests::deployment::Deployment;
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::network::{Backend, Network, Plan};
use onionbalance_tests::programs::Running;

/// From the balancer's start, or a change, to the last HSDir's proof.
pub(crate) const PUBLISHED: Duration = Duration::from_secs(90);
/// Looks at backends every few seconds: a day is too long for a test.
const PACE: &str = "REFRESH_INTERVAL: 5\n";

/// The network that all tests share.
pub(crate) fn network() -> Result<&'static Network> {
    static SHARED: OnceLock<Result<Network>> = OnceLock::new();
    SHARED.get_or_init(|| Network::start(&Plan::v2())).as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// The backends that belong to no test alone.
pub(crate) fn backends(network: &Network) -> Result<Vec<Arc<Backend>>> {
    (0..Plan::v2().backends).map(|number| network.backend(number)).collect()
}

pub(crate) fn now() -> Result<UnixTime> {
    Ok(UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()))
}

/// A backend in the configuration: its address and, if it authorizes clients, the cookie of one.
pub(crate) type Instance = (OnionAddress, Option<String>);

/// These backends, without client authorization.
pub(crate) fn plain(backends: &[Arc<Backend>]) -> Result<Vec<Instance>> {
    backends.iter().map(|backend| Ok((backend.address().v2()?, None))).collect()
}

/// Frontends with their keys and configuration.
pub(crate) struct Site(Deployment);

impl Deref for Site {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.0
    }
}

impl Site {
    /// Frontends with these keys over these backends; `more` is added to the configuration.
    pub(crate) fn new(
        network: &Network,
        name: &str,
        frontends: &[(&KeyV2, &[Instance])],
        more: &str,
    ) -> Result<Self> {
        let site = Self(Deployment::new(network, name)?);
        let mut yaml = format!("{PACE}{more}services:\n");
        for (number, (key, instances)) in frontends.iter().enumerate() {
            let file = format!("private_key.{number}");
            site.write_secret(&file, key.pem()?)?;
            writeln!(yaml, "  - key: {file}\n    instances:")?;
            for (address, auth) in *instances {
                // Without .onion, as the first version wanted it.
                writeln!(yaml, "      - address: {}", address.without_suffix())?;
                if let Some(auth) = auth {
                    writeln!(yaml, "        auth: {auth}")?;
                }
            }
        }
        site.configure(yaml)?;
        Ok(site)
    }
}

/// Waits until the balancer has logged that this number of the service's descriptors were read back from
/// their HSDirs.
pub(crate) fn wait_published(balancer: &Running, service: &OnionAddress, descriptors: usize) -> Result<()> {
    let named = format!("service={service}");
    balancer.wait_output(&format!("not that it published {service}"), PUBLISHED, |output| {
        let lines =
            output.lines().filter(|line| line.contains(" published descriptor ") && line.contains(&named));
        (lines.count() >= descriptors).then_some(())
    })
}
