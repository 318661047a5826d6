//! The site of a fault: a frontend over backends, the tor and the programs that publish it, and an observer.

use std::fmt::Write as _;
use std::io::Read as _;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_tests::deployment::Deployment;
use onionbalance_tests::key_v3::KeyV3;
use onionbalance_tests::network::{Backend, Client, Daemon, Message, Network, Plan};
use onionbalance_tests::programs::Running;
use onionbalance_tests::traffic::Traffic;
use onionbalance_tests::wait::until;
use serde_json::Value;

use crate::names;
use crate::observer::{Observer, SETTLED};

/// Time periods of six minutes, as in the tests of the frontend. The balancer's timers shrink with them
/// (`Timing::for_period`): a fetch of each backend every 15 s, a renewal every 15 to 30 s, at most 7.5 s
/// between two tries of an upload.
pub(crate) const VOTING_INTERVAL: u32 = 15;
/// The longest time of an operation that has begun, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The longest time until a renewal: it begins after at most 30 s, and takes a few seconds.
pub(crate) const RENEWED: Duration = Duration::from_secs(45);
/// The number of visits, two seconds apart, that measure a state of the frontend.
pub(crate) const VISITS: usize = 25;
/// The longest time of these visits: each may hang for a minute, in parallel.
pub(crate) const VISITED: Duration = Duration::from_secs(2 * VISITS as u64 + 70);
/// The number of backends at the network's start, which all faults share.
const BACKENDS: usize = 3;

/// The network that most faults share.
pub(crate) fn network() -> Result<&'static Network> {
    static SHARED: OnceLock<Result<Network>> = OnceLock::new();
    let start = || {
        let frontends = names().map(|name| KeyV3::named(name).address()).collect::<Result<_>>()?;
        let plan =
            Plan { voting_interval: VOTING_INTERVAL, backends: BACKENDS, frontends, ..Plan::default() };
        Network::start(&plan)
    };
    SHARED.get_or_init(start).as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// The backends of the network's start, which no fault may stop.
pub(crate) fn backends(network: &Network) -> Result<Vec<Arc<Backend>>> {
    (0..BACKENDS).map(|number| network.backend(number)).collect()
}

/// A frontend with its key and configuration, the balancer's tor, and an observer of HSDirs.
pub(crate) struct Site<'a> {
    network: &'a Network,
    deployment: Deployment,
    pub(crate) address: OnionAddress,
    pub(crate) backends: Vec<Arc<Backend>>,
    /// The balancer's tor.
    pub(crate) tor: Client,
    pub(crate) observer: Observer,
}

impl Deref for Site<'_> {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.deployment
    }
}

impl<'a> Site<'a> {
    /// The frontend of this name over these backends.
    pub(crate) fn new(network: &'a Network, name: &str, backends: Vec<Arc<Backend>>) -> Result<Self> {
        let key = KeyV3::named(name);
        let (deployment, address) = (Deployment::new(network, name)?, key.address()?);
        let tors: [Client; 2] = network.new_tor_clients(2)?.try_into().map_err(|_| anyhow!("two tors"))?;
        let [tor, client] = tors;
        let site = Self { network, deployment, address, backends, tor, observer: Observer::of(client) };
        site.write_secret("front.pem", key.pem()?)?;
        site.set_services(&service("front.pem", &site.addresses()?)?)?;
        Ok(site)
    }

    /// Writes `config.yaml` for these services.
    pub(crate) fn set_services(&self, services: &str) -> Result<()> {
        let places = "signer-socket-location: signer\nstatus-socket-location: status\n";
        self.configure(format!("services:\n{services}{places}"))
    }

    /// Configures these tors to share the work.
    pub(crate) fn share(&self, tors: &[Client]) -> Result<()> {
        let mut services = service("front.pem", &self.addresses()?)? + "  tor:\n";
        for tor in tors {
            writeln!(services, "  - {}", tor.tor().control_address()?)?;
        }
        self.set_services(&services)
    }

    /// The backends' addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<OnionAddress>> {
        self.backends.iter().map(|backend| backend.address().v3()).collect()
    }

    /// Starts signer and balancer, and waits until all is published.
    pub(crate) fn serve(&self, tor: &Daemon) -> Result<(Running, Running)> {
        let programs = (self.signer()?, self.balancer(tor)?);
        self.wait_current()?;
        Ok(programs)
    }

    /// Starts visits with a new visitor, while every backend lives.
    pub(crate) fn visit(&self) -> Result<Traffic> {
        Ok(Traffic::begin(self.network.new_tor_client()?, &self.address, &self.backends))
    }

    /// Waits until every responsible HSDir lists the backends' present points.
    pub(crate) fn wait_current(&self) -> Result<()> {
        self.observer.wait_current(&self.address, &self.addresses()?, &self.observer)
    }

    /// Waits until the balancer's status reports all descriptors of all services with introduction points on
    /// all their HSDirs.
    pub(crate) fn wait_stored(&self) -> Result<()> {
        self.wait_stored_within(SETTLED)
    }

    /// Waits as [`Site::wait_stored`] does, with another limit than a minute.
    pub(crate) fn wait_stored_within(&self, timeout: Duration) -> Result<()> {
        until(timeout, || Ok(self.status().is_ok_and(|status| is_stored(&status)).then_some(())))
            .with_context(|| format!("the balancer's status stays {:?}", self.status()))
    }

    /// The output of the balancer's status socket.
    fn status(&self) -> Result<Value> {
        let mut text = String::new();
        UnixStream::connect(self.path("status"))?.read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn is_stored(status: &Value) -> bool {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut services = list(status, "services");
    services.retain(|service| service["introPointsNum"] != 0);
    let descriptors: Vec<_> = services.iter().flat_map(|service| list(service, "descriptors")).collect();
    !descriptors.is_empty()
        && descriptors.iter().all(|one| one["hsdirs"] != 0 && one["hsdirs"] == one["stored"])
}

/// A service in `config.yaml`.
pub(crate) fn service(key: &str, backends: &[OnionAddress]) -> Result<String> {
    let mut yaml = format!("- key: {key}\n  instances:\n");
    for address in backends {
        writeln!(yaml, "  - address: {address}")?;
    }
    Ok(yaml)
}

/// Waits until an HSDir has acknowledged a descriptor of the frontend to `tor`, while the uploads to the
/// others are under way.
pub(crate) fn wait_upload(tor: &Daemon, frontend: &OnionAddress) -> Result<()> {
    let mut control = tor.control()?;
    control.set_events("HS_DESC")?;
    let address = frontend.to_string();
    let address = address.trim_end_matches(".onion");
    let uploaded = |event: &Message| matches!(event.words().as_slice(), ["HS_DESC", "UPLOADED", of, ..] if *of == address);
    control.wait_event(RENEWED, uploaded)?.context("no HSDir took a descriptor").map(drop)
}

/// Fails if a duration is longer than its bound.
pub(crate) fn ensure_within(took: Duration, bound: Duration) -> Result<()> {
    ensure!(took <= bound, "it took {:.1} s, more than {:.1} s", took.as_secs_f64(), bound.as_secs_f64());
    Ok(())
}
