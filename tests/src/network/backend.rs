//! Backends: onion services of plain tors, each with a web site that answers with its name.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use onionbalance_proto::v3::address::OnionAddress;

use super::base::{Base, CONTROL_PORT, EARLY};
use super::control::{Control, Message};
use super::daemon::Daemon;
use super::webserver::WebServer;
use crate::onion::{Onion, OnionVersion};
use crate::process::lock;
use crate::wait::until;

/// A backend. Its web server and its address stay the same when its tor is stopped or restarted.
#[derive(Debug)]
pub struct Backend {
    name: String,
    tor: Daemon,
    service: PathBuf,
    web: WebServer,
    address: Onion,
    clients: Vec<AuthorizedClient>,
    watch: Mutex<UploadWatch>,
}

/// The authorization of a v2 backend, which has two clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authorization {
    /// One address for all clients.
    Basic,
    /// An address for each client.
    Stealth,
}

/// A client that a v2 backend authorizes.
#[derive(Clone, Debug)]
pub struct AuthorizedClient {
    /// The backend's address for this client.
    pub address: Onion,
    /// The descriptor cookie as `HidServAuth` takes it, 22 characters.
    pub cookie: String,
}

impl Backend {
    pub(crate) fn start(
        base: &Base,
        number: usize,
        frontends: &[OnionAddress],
        authorization: Option<Authorization>,
    ) -> Result<Self> {
        let name = format!("backend-{number}");
        let web = WebServer::start(&name)?;
        let tor = base.daemon(&name, "")?;
        let service = tor.directory().join("service");
        DirBuilder::new().mode(0o700).create(&service)?;
        let role = match base.version {
            OnionVersion::V2 => role_v2(&service, &web, authorization),
            OnionVersion::V3 => role_v3(&service, &web, frontends)?,
        };
        tor.configure(&base.torrc(&name, &role))?;
        tor.start()?;
        let descriptors = if authorization == Some(Authorization::Stealth) { 4 } else { 2 };
        let watch = Mutex::new(UploadWatch::new(&tor, descriptors)?);
        let hostname = until(HOSTNAME_TIMEOUT, || Ok(fs::read_to_string(service.join("hostname")).ok()))
            .with_context(|| tor.failure("made no address"))?;
        let address = hostname.split_whitespace().next().context("tor wrote no address")?.parse()?;
        let clients = hostname.lines().filter_map(|line| AuthorizedClient::parse(line).transpose());
        let clients = clients.collect::<Result<_>>()?;
        Ok(Self { name, tor, service, web, address, clients, watch })
    }

    /// The name, with which the web site answers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The backend's own onion address; with stealth authorization, that of its first client.
    pub fn address(&self) -> Onion {
        self.address
    }

    /// The clients that it authorizes; empty without authorization.
    pub fn clients(&self) -> &[AuthorizedClient] {
        &self.clients
    }

    /// Kills its tor; the web server stays.
    pub fn kill(&self) -> Result<()> {
        self.tor.kill()
    }

    /// Freezes its tor (SIGSTOP): introductions are not answered, and its descriptors stay on the HSDirs.
    pub fn freeze(&self) -> Result<()> {
        self.tor.freeze()
    }

    /// Continues a frozen tor.
    pub fn thaw(&self) -> Result<()> {
        self.tor.thaw()
    }

    /// Restarts its tor.
    pub fn revive(&self) -> Result<()> {
        self.tor.start()?;
        let mut watch = lock(&self.watch);
        *watch = UploadWatch::new(&self.tor, watch.wanted)?;
        Ok(())
    }

    /// Waits until the descriptors of the present run of tor are on their HSDirs: both, or both of each
    /// client.
    pub fn wait_published(&self) -> Result<()> {
        lock(&self.watch).wait().with_context(|| self.tor.failure("did not publish its descriptors"))
    }

    /// Its web server.
    pub fn web(&self) -> &WebServer {
        &self.web
    }

    /// Its tor.
    pub fn tor(&self) -> &Daemon {
        &self.tor
    }

    /// Makes these the frontends. tor 0.4.9 computes their keys only when it builds descriptors, hence the
    /// restart: after SIGHUP alone, introductions through a new frontend would fail until the next time
    /// period.
    pub(crate) fn set_frontends(&self, base: &Base, frontends: &[OnionAddress]) -> Result<()> {
        self.tor.configure(&base.torrc(&self.name, &role_v3(&self.service, &self.web, frontends)?))?;
        self.revive()
    }
}

/// Writes `ob_config`, which tor reads before it accepts `HiddenServiceOnionBalanceInstance`, and returns the
/// configuration with that line. Without a frontend the backend is a plain service: tor crashes over an empty
/// `ob_config`.
fn role_v3(service: &Path, web: &WebServer, frontends: &[OnionAddress]) -> Result<String> {
    let lines: Vec<_> = frontends.iter().map(|address| format!("MasterOnionAddress {address}\n")).collect();
    fs::write(service.join("ob_config"), lines.concat())?;
    let instance = if frontends.is_empty() { "" } else { "HiddenServiceOnionBalanceInstance 1\n" };
    Ok(format!(
        "SocksPort 0\n{CONTROL_PORT}{EARLY}HiddenServiceDir {}\nHiddenServicePort 80 {}\n{instance}",
        service.display(),
        web.address()
    ))
}

fn role_v2(service: &Path, web: &WebServer, authorization: Option<Authorization>) -> String {
    let authorize = match authorization {
        Some(Authorization::Basic) => "HiddenServiceAuthorizeClient basic alice,bob\n",
        Some(Authorization::Stealth) => "HiddenServiceAuthorizeClient stealth carol,dave\n",
        None => "",
    };
    format!(
        "SocksPort 0\n{CONTROL_PORT}{EARLY}HiddenServiceDir {}\nHiddenServiceVersion 2\nHiddenServicePort 80 {}\n{authorize}",
        service.display(),
        web.address()
    )
}

impl AuthorizedClient {
    /// Reads `ADDRESS COOKIE # client: NAME`; `None` for a line without cookie.
    fn parse(line: &str) -> Result<Option<Self>> {
        let mut words = line.split(' ');
        let (Some(address), Some(cookie)) = (words.next(), words.next()) else { return Ok(None) };
        Ok(Some(Self { address: address.parse()?, cookie: cookie.to_owned() }))
    }
}

const HOSTNAME_TIMEOUT: Duration = Duration::from_secs(10);
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// Follows tor's uploads from the beginning of its run.
#[derive(Debug)]
struct UploadWatch {
    control: Control,
    /// The number of different descriptors to wait for.
    wanted: usize,
    uploads: Uploads,
}

impl UploadWatch {
    fn new(tor: &Daemon, wanted: usize) -> Result<Self> {
        let mut control = tor.control()?;
        control.set_events("HS_DESC")?;
        Ok(Self { control, wanted, uploads: Uploads::default() })
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        while !self.uploads.are_done(self.wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.control.wait_event(left, |_| true)?;
            let event = event.with_context(|| {
                format!("after {} seconds: {:?}", PUBLISH_TIMEOUT.as_secs(), self.uploads)
            })?;
            self.uploads.note(&event);
        }
        ensure!(self.uploads.accepted > 0, "no HSDir took a descriptor: {:?}", self.uploads);
        Ok(())
    }
}

/// The `HS_DESC` events of a service: for each HSDir one UPLOAD, then UPLOADED or FAILED.
#[derive(Debug, Default)]
struct Uploads {
    /// The descriptors, by blinded key, or for v2 by id.
    descriptors: BTreeSet<String>,
    begun: usize,
    accepted: usize,
    failed: usize,
}

impl Uploads {
    fn note(&mut self, event: &Message) {
        match event.words().as_slice() {
            ["HS_DESC", "UPLOAD", _, _, _, descriptor, ..] => {
                self.begun += 1;
                self.descriptors.insert((*descriptor).to_owned());
            }
            ["HS_DESC", "UPLOADED", ..] => self.accepted += 1,
            ["HS_DESC", "FAILED", ..] => self.failed += 1,
            _ => {}
        }
    }

    fn are_done(&self, wanted: usize) -> bool {
        self.descriptors.len() >= wanted && self.accepted + self.failed >= self.begun
    }
}
