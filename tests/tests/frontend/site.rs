//! The site of one test: a frontend, a configuration, and the programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::deployment::Deployment;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Client, Network, Plan};
use onionbalance_tests::programs::Running;
use onionbalance_tests::wait::until;

/// The voting interval, in seconds: the shortest one with time periods of whole minutes and with room for
/// tor's voting. Shared-random value and time period change alternately every three minutes.
const VOTING_INTERVAL: u32 = 15;
/// The frontends of all tests, which the backends need in their configuration from the start.
const FRONTENDS: [&str; 19] = [
    "attacker",
    "calendar",
    "check",
    "child_signer",
    "control_port",
    "delegation",
    "lies",
    "many_backends",
    "production",
    "reload",
    "reload_child",
    "removed_backend",
    "signer_restart",
    "status",
    "thirty",
    "three",
    "twelve",
    "twenty_points",
    "units",
];
/// The number of backends that all tests share.
const BACKENDS: usize = 3;
/// `HashedControlPassword` of "loopback".
pub(crate) const HASHED_PASSWORD: &str = "16:7BB9D867BD25FA8B605444128CD5A59F882750911F6CD552C060C7090A";
/// The longest time from a program's start to its first output.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The longest time from the balancer's start, or a change, to the last acknowledgement.
pub(crate) const PUBLISHED: Duration = Duration::from_secs(90);

/// The network that all tests share.
pub(crate) fn network() -> Result<&'static Network> {
    static SHARED: OnceLock<Result<Network>> = OnceLock::new();
    SHARED.get_or_init(|| Network::start(&plan()?)).as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// The plan of that network.
pub(crate) fn plan() -> Result<Plan> {
    let frontends = FRONTENDS.iter().map(|name| KeyV3::named(name).address()).collect::<Result<_>>()?;
    Ok(Plan { voting_interval: VOTING_INTERVAL, backends: BACKENDS, frontends, ..Plan::default() })
}

/// The addresses of the backends that all tests share.
pub(crate) fn backends(network: &Network) -> Result<Vec<OnionAddress>> {
    (0..BACKENDS).map(|number| network.backend(number)?.address().v3()).collect()
}

/// A frontend with its key and configuration.
pub(crate) struct Site {
    deployment: Deployment,
    pub(crate) address: OnionAddress,
    pub(crate) key: KeyV3,
}

impl Deref for Site {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.deployment
    }
}

impl Site {
    /// The frontend of this name over these backends; `more` is added to the configuration.
    pub(crate) fn new(
        network: &Network,
        name: &'static str,
        backends: &[OnionAddress],
        more: &str,
    ) -> Result<Self> {
        ensure!(FRONTENDS.contains(&name), "the backends do not know the frontend {name}");
        Self::over(network, name, backends, more)
    }

    /// A frontend that these backends do not know: their `ob_config` names others.
    pub(crate) fn unknown(
        network: &Network,
        name: &'static str,
        backends: &[OnionAddress],
        more: &str,
    ) -> Result<Self> {
        ensure!(!FRONTENDS.contains(&name), "the backends know the frontend {name}");
        Self::over(network, name, backends, more)
    }

    fn over(network: &Network, name: &'static str, backends: &[OnionAddress], more: &str) -> Result<Self> {
        let key = KeyV3::named(name);
        let site = Self { deployment: Deployment::new(network, name)?, address: key.address()?, key };
        site.write_secret("front.pem", site.key.pem()?)?;
        site.set_backends(backends, more)?;
        Ok(site)
    }

    /// Makes these the frontend's backends in the configuration; `more` is the rest of it.
    pub(crate) fn set_backends(&self, backends: &[OnionAddress], more: &str) -> Result<()> {
        let mut yaml = String::from("services:\n- key: front.pem\n  instances:\n");
        for address in backends {
            writeln!(yaml, "  - address: {address}")?;
        }
        self.configure(yaml + more)
    }

    /// Visits the frontend with `client` until each of these backends has answered.
    pub(crate) fn visit_all(&self, client: &Client, names: &[&str]) -> Result<()> {
        let mut answered = BTreeSet::new();
        // A client picks one of nine points. The chance that these visits miss one of three backends is one
        // in 10^10.
        for _ in 0..60 {
            let page = client.get(&self.address, 80, "/")?;
            ensure!(names.contains(&page.text().as_str()), "{} answered for the frontend", page.text());
            answered.insert(page.text());
            if answered.len() == names.len() {
                return Ok(());
            }
        }
        bail!("only {answered:?} of {names:?} answered");
    }
}

/// Waits until the balancer has logged that all HSDirs have the first and the second descriptor.
pub(crate) fn wait_published(balancer: &Running) -> Result<()> {
    balancer.wait_output("not that it published two descriptors", PUBLISHED, |output| {
        (published(output).len() >= 2).then_some(())
    })
}

/// The periods of the descriptors that are on all their HSDirs by the balancer's log.
pub(crate) fn published(output: &str) -> BTreeSet<u64> {
    // The last line may be incomplete.
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.contains(" published descriptor "));
    let period = |line: &str| line.split(' ').find_map(|word| word.strip_prefix("period="))?.parse().ok();
    lines.filter_map(period).collect()
}

/// Waits until a process that is not our child has ended; a zombie has ended.
pub(crate) fn wait_gone(pid: &str) -> Result<()> {
    let stat = PathBuf::from(format!("/proc/{pid}/stat"));
    until(SOON, || {
        let stat = fs::read_to_string(&stat).unwrap_or_else(|_| ") Z".to_owned());
        Ok(stat.contains(") Z").then_some(()))
    })
    .with_context(|| format!("process {pid} lives on"))
}
