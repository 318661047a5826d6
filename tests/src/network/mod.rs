//! A private Tor network of real tor daemons on loopback.
//!
//! [`Network::start`] brings up authorities and relays, waits for a consensus that lists them all as HSDirs, and then
//! starts a client, the tor that a balancer controls, and backends. Nothing leaves the machine. Dropping the network
//! stops every tor and removes its directory; after a panic the directory stays, for its logs.
//!
//! Its start takes some 20 seconds, so tests that only look share one for their whole process by [`Network::shared`].
//! Nothing drops that one: its tors end with the process, and the next network's start removes its directory. Plain
//! `cargo test` runs a file's tests in one process; cargo-nextest gives each test a process, and so a network, of its own.

mod authority;
mod backend;
mod base;
mod client;
mod consensus;
mod control;
mod daemon;
mod directory;
mod management;
mod onion;
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
pub use self::onion::{Onion, OnionVersion};
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
    /// Brings a network up until every backend's descriptors lie on their HSDirs.
    pub fn start(plan: &Plan) -> Result<Self> {
        Self::start_telling(plan, |_| {})
    }

    /// As [`Network::start`], and tells of each stage that it reaches.
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

    /// As [`Network::start_backend`], of one that authorizes its clients (version 2 only).
    pub fn start_authorized_backend(&self, authorization: Option<Authorization>) -> Result<Arc<Backend>> {
        let mut backends = lock(&self.backends);
        let started = Backend::start(&self.base, backends.len(), &lock(&self.frontends), authorization)?;
        let backend = Arc::new(started);
        backends.push(Arc::clone(&backend));
        Ok(backend)
    }

    /// Makes these the frontends of all backends, whose tors are started anew, and waits until they have published.
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

    /// As [`Network::new_tor_client`], several at once.
    pub fn new_tor_clients(&self, count: usize) -> Result<Vec<Client>> {
        each(0..count, |_| self.new_tor_client())
    }

    /// The fingerprints of the HSDirs in the present consensus, in its order.
    pub fn hsdirs(&self) -> Result<Vec<String>> {
        let authority = self.authorities.first().context("there is no authority")?;
        authority.control()?.hsdirs()
    }

    /// Has all authorities leave a relay out of the next consensus. They would take three quarters of an hour to find out for
    /// themselves that it is dead (tor, `REACHABLE_TIMEOUT`).
    pub fn expel(&self, relay: &Relay) -> Result<()> {
        self.authorities.iter().try_for_each(|authority| authority::reject(authority, relay.fingerprint()))
    }

    /// The network's directory, for what belongs to a test: it goes with the network.
    pub fn directory(&self) -> &Path {
        self.base.directory.path()
    }

    /// A directory for AF_UNIX sockets, whose path is short enough for their addresses.
    pub fn sockets(&self) -> &Path {
        self.base.directory.sockets()
    }

    /// What the torrc of a tor needs that somebody else starts as a user of this network, or as an onion service in it.
    pub fn torrc(&self) -> String {
        format!("{}{EARLY}SocksPort 0\n", self.base.common())
    }

    /// Lets the directory stay when the network goes.
    pub fn keep_directory(&self) {
        self.base.directory.keep();
    }
}

const ATTEMPTS: usize = 3;
/// In tor's log when another process took a port between our look and tor's start.
const PORT_TAKEN: &str = "Address already in use";
