//! A private Tor network of real tor daemons on loopback.
//!
//! [`Network::start`] brings up authorities and relays, waits for a consensus that lists them all as HSDirs,
//! and then starts a client, the tor that a balancer controls, and backends. All traffic stays on the
//! machine. Dropping the network stops every tor and removes its directory; after a panic the directory is
//! kept, for its logs.
//!
//! Its start takes about 20 seconds, so tests that do not change it share one for their whole process by
//! [`Network::shared`]. The shared one is never dropped: its tors end with the process, and the next
//! network's start removes its directory. Plain `cargo test` runs a file's tests in one process;
//! cargo-nextest gives each test a process, and so a network, of its own.

mod authority;
mod backend;
mod base;
mod client;
mod consensus;
mod control;
mod daemon;
mod directory;
mod management;
mod plan;
mod ports;
mod relay;
mod request;
mod start;
mod webserver;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use onionbalance_proto::v3::address::OnionAddress;

use self::base::{Base, EARLY};
use self::start::Tors;

pub use self::backend::{Authorization, AuthorizedClient, Backend};
pub use self::client::{Client, Page};
pub use self::control::{Control, Message, MessageLine};
pub use self::daemon::Daemon;
pub(crate) use self::directory::Directory;
pub use self::management::Management;
pub use self::plan::{Plan, Stage};
pub use self::relay::Relay;
pub use self::webserver::WebServer;
use crate::parallel::each;
use crate::process::lock;
use crate::provision::TorProgram;

/// A running network.
#[derive(Debug)]
pub struct Network {
    authorities: Vec<Daemon>,
    relays: Vec<Relay>,
    client: Client,
    management: Management,
    backends: Mutex<Vec<Arc<Backend>>>,
    frontends: Mutex<Vec<OnionAddress>>,
    clients_made: AtomicUsize,
    // Dropped last: the tors above write in its directory.
    base: Base,
}

impl Network {
    /// Starts a network, and waits until every backend's descriptors are on their HSDirs.
    pub fn start(plan: &Plan) -> Result<Self> {
        Self::start_telling(plan, |_| {})
    }

    /// Starts a network as [`Network::start`] does, and reports each stage.
    pub fn start_telling(plan: &Plan, tell: impl Fn(Stage) + Sync) -> Result<Self> {
        let started = Instant::now();
        let tell = |what: String| tell(Stage { what, at: started.elapsed() });
        let program = TorProgram::find(plan.version)?;
        let mut attempts = 1;
        loop {
            match Self::attempt(&program, plan, &tell) {
                Err(error) if attempts < ATTEMPTS && format!("{error:#}").contains(PORT_TAKEN) => {
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    /// The network of the default plan that all tests of this process share; the first one to ask starts it.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Network>> = OnceLock::new();
        let result = SHARED.get_or_init(|| Self::start(&Plan::default()));
        result.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    fn attempt(program: &TorProgram, plan: &Plan, tell: &(impl Fn(String) + Sync)) -> Result<Self> {
        let mut base = Base::new(program.clone(), plan.version, Directory::create()?);
        match Tors::start(&mut base, plan, tell) {
            Ok(Tors { authorities, relays, users }) => Ok(Self {
                authorities,
                relays,
                client: users.client,
                management: users.management,
                backends: Mutex::new(users.backends.into_iter().map(Arc::new).collect()),
                frontends: Mutex::new(plan.frontends.clone()),
                clients_made: AtomicUsize::new(1),
                base,
            }),
            Err(error) => {
                base.directory.keep();
                let logs = base.directory.path().display();
                Err(error.context(format!("the network did not come up; its logs are in {logs}")))
            }
        }
    }

    /// The relay of this number, from 0.
    pub fn relay(&self, number: usize) -> Result<&Relay> {
        self.relays.get(number).with_context(|| format!("the network has no relay {number}"))
    }

    /// The backend of this number, from 0.
    pub fn backend(&self, number: usize) -> Result<Arc<Backend>> {
        let backends = lock(&self.backends);
        backends.get(number).cloned().with_context(|| format!("the network has no backend {number}"))
    }

    /// All backends.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        lock(&self.backends).clone()
    }

    /// Starts one more backend, for the same frontends.
    pub fn start_backend(&self) -> Result<Arc<Backend>> {
        self.start_authorized_backend(None)
    }

    /// Starts a backend as [`Network::start_backend`] does, but with client authorization (v2 only).
    pub fn start_authorized_backend(&self, authorization: Option<Authorization>) -> Result<Arc<Backend>> {
        let mut backends = lock(&self.backends);
        let started = Backend::start(&self.base, backends.len(), &lock(&self.frontends), authorization)?;
        let backend = Arc::new(started);
        backends.push(Arc::clone(&backend));
        Ok(backend)
    }

    /// Makes these the frontends of all backends, restarts the backends' tors, and waits until they have
    /// published.
    pub fn set_frontends(&self, frontends: &[OnionAddress]) -> Result<()> {
        frontends.clone_into(&mut lock(&self.frontends));
        each(self.backends(), |backend| {
            backend.set_frontends(&self.base, frontends)?;
            backend.wait_published()
        })?;
        Ok(())
    }

    /// The tor for a balancer to control.
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// A visitor.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One more visitor, with a tor of its own that knows no descriptors.
    pub fn new_tor_client(&self) -> Result<Client> {
        let number = self.clients_made.fetch_add(1, Ordering::Relaxed);
        let client = Client::start(&self.base, number)?;
        client.tor().wait_bootstrapped()?;
        Ok(client)
    }

    /// Starts several visitors at once, each as [`Network::new_tor_client`] does.
    pub fn new_tor_clients(&self, count: usize) -> Result<Vec<Client>> {
        each(0..count, |_| self.new_tor_client())
    }

    /// The fingerprints of the HSDirs in the present consensus, in its order.
    pub fn hsdirs(&self) -> Result<Vec<String>> {
        let authority = self.authorities.first().context("there is no authority")?;
        authority.control()?.hsdirs()
    }

    /// Makes all authorities leave a relay out of the next consensus. By themselves they would notice only
    /// after three quarters of an hour that it is dead (tor: `REACHABLE_TIMEOUT`).
    pub fn expel(&self, relay: &Relay) -> Result<()> {
        self.authorities.iter().try_for_each(|authority| authority::reject(authority, relay.fingerprint()))
    }

    /// The network's directory, also for a test's files: it is removed with the network.
    pub fn directory(&self) -> &Path {
        self.base.directory.path()
    }

    /// A directory for AF_UNIX sockets, with a path that is short enough for their addresses.
    pub fn sockets(&self) -> &Path {
        self.base.directory.sockets()
    }

    /// The torrc lines of a client or an onion service of this network that the caller starts itself.
    pub fn torrc(&self) -> String {
        format!("{}{EARLY}SocksPort 0\n", self.base.common())
    }

    /// Keeps the directory when the network is dropped.
    pub fn keep_directory(&self) {
        self.base.directory.keep();
    }
}

const ATTEMPTS: usize = 3;
/// Tor's message if another process took a port between its choice and tor's start.
const PORT_TAKEN: &str = "Address already in use";
