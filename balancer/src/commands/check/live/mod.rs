//! The live check: signer, tors, clock, backends and visits, each asked as the balancer asks. It changes
//! nothing, and may run beside a balancer at the same tor.
//!
//! Each wait has an end, so that the whole takes at most ten minutes.

mod backends;
mod consensus;
mod lookup;
mod probes;
mod row;
mod signer;
mod tors;
mod visits;

use std::time::Duration;

use onionbalance_process::is_root;
use onionbalance_proto::config::{Instances, Lines, Service};
use onionbalance_proto::wire::HeldService;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::backends::{Backend, Backends, ByVersion};
use self::lookup::{Lookups, look_up};
pub(super) use self::row::{Row, Verdict};
use self::signer::Answer;
use self::visits::Plan;
use super::file::address_in_name;
use crate::cli::CheckOptions;
use crate::confinement::{hardening, user};
use crate::lifecycle::Setup;
use crate::names;
use crate::network::Version;
use crate::onion_version::OnionVersion;
use crate::tor::Session;
use crate::tor::carrier::{ControlPort, Link};
use crate::tor::socks::SocksPort;
use crate::v2::V2;
use crate::v3::V3;

/// The longest time for all lookups of backends, and until the last beginning of a probe; those that are left
/// then are not made.
const LOOKUPS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// The time after which no further visit is begun.
const VISITS_WITHIN: Duration = Duration::from_secs(2 * 60);

/// Checks the deployment of this configuration as its balancer's user: a process of root's becomes that user.
pub(super) fn look(options: &CheckOptions, setup: &Setup) -> Vec<Row> {
    if let Err(error) = hardening::harden() {
        return vec![Row::new(Verdict::Unknown, "network", format!("cannot protect passwords: {error}"))];
    }
    let user = setup.configuration().user().filter(|_| is_root());
    if let Some(Err(error)) = user.map(user::become_user) {
        return vec![Row::of_error(Verdict::Error, "user", &error.to_string())];
    }
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let rows = runtime.block_on(ask_all(options, setup));
            runtime.shutdown_background();
            rows
        }
        Err(error) => vec![Row::new(Verdict::Unknown, "network", format!("cannot be asked: {error}"))],
    }
}

async fn ask_all(options: &CheckOptions, setup: &Setup) -> Vec<Row> {
    let configuration = setup.configuration();
    let Answer { mut rows, held } = signer::ask(configuration).await;
    let services: Vec<Part<'_>> =
        configuration.contents().services.iter().map(|service| Part::new(setup, service, &held)).collect();
    let mut tors = Tor::all(&services).await;
    rows.extend(tors.iter().map(|tor| tor.row.clone()));
    let visits = match options.visit {
        Some(visits) => plan_visits(&services, &tors, &held, visits, options.port).await,
        None => Vec::new(),
    };
    rows.extend(share_out(setup, &services, &held, &mut tors));
    rows.extend(look_up_all(tors).await);
    let (plans, unplanned) = split(visits);
    rows.extend(visits::make(&plans, Instant::now() + VISITS_WITHIN).await);
    rows.extend(unplanned);
    rows
}

/// The first and the last characters of an onion address, in ASCII for every terminal.
fn short(address: &str) -> String {
    names::short(address, "...")
}

/// A service of the configuration.
struct Part<'a> {
    service: &'a Service,
    /// Its name; without one, its address or the name of its key file.
    label: String,
    version: Version,
    links: Vec<Link>,
}

impl<'a> Part<'a> {
    fn new(setup: &Setup, service: &'a Service, held: &[HeldService]) -> Self {
        let address = address_of(service, held);
        let label = match (&service.name, &address) {
            (Some(name), _) => name.to_string(),
            (None, Some(address)) => short(address),
            (None, None) => service.key.clone(),
        };
        let is_v2 = match &service.instances {
            Instances::None => {
                held.iter().any(|held| held.key() == service.key && matches!(held, HeldService::V2(_)))
            }
            Instances::V2(_) => true,
            Instances::V3(_) => false,
        };
        let version = if is_v2 { Version::V2 } else { Version::V3 };
        Self { service, label, version, links: setup.links(setup.configuration().own_tors(service)) }
    }

    /// The tor that looks for its backends: the first of its tors that is ready.
    fn tor<'t>(&self, mut tors: impl Iterator<Item = &'t Tor>) -> Option<&'t Tor> {
        tors.find(|tor| self.uses(tor) && tor.session.is_some())
    }

    fn uses(&self, tor: &Tor) -> bool {
        tor.version == self.version && self.links.contains(&tor.link)
    }
}

/// The address of a service's key; `None` if neither the signer nor the name of the file tells.
fn address_of(service: &Service, held: &[HeldService]) -> Option<String> {
    let address = held.iter().find(|held| held.key() == service.key).map(|held| match held {
        HeldService::V2(held) => held.address.to_string(),
        HeldService::V3 { held, .. } => held.address.to_string(),
    });
    address.or_else(|| address_in_name(&service.key).map(|address| address.to_string()))
}

/// A tor, for one version of onion services.
struct Tor {
    link: Link,
    version: Version,
    row: Row,
    /// `None` if it is not ready.
    session: Option<Session>,
    /// The backends that it looks for.
    backends: ByVersion,
}

impl Tor {
    /// Asks all tors of these services, each once for each version.
    async fn all(services: &[Part<'_>]) -> Vec<Self> {
        let mut wanted: Vec<(Link, Version)> = Vec::new();
        for Part { version, links, .. } in services {
            for link in links {
                if !wanted.iter().any(|(other, of)| other == link && of == version) {
                    wanted.push((link.clone(), *version));
                }
            }
        }
        let mut asked = JoinSet::new();
        for (index, (link, version)) in wanted.into_iter().enumerate() {
            asked.spawn(async move {
                let (row, session) = tors::ask(&link, version).await;
                (index, Self { link, version, row, session, backends: ByVersion::default() })
            });
        }
        let mut tors = asked.join_all().await;
        tors.sort_by_key(|(index, _)| *index);
        tors.into_iter().map(|(_, tor)| tor).collect()
    }

    /// Its SOCKS ports, at least one; `Err`: a message.
    async fn socks(&self) -> Result<Vec<SocksPort>, String> {
        let session = self.session.as_ref().ok_or("no tor is ready")?;
        let ports = session.connection.socks_ports().await.map_err(|error| error.to_string())?;
        if ports.is_empty() { Err("its tor has no SocksPort".to_owned()) } else { Ok(ports) }
    }

    /// The rows about the clock, about the backends and about their probes.
    async fn look_up(self, end: Instant) -> Vec<Row> {
        let Some(session) = self.session else { return Vec::new() };
        let network = ControlPort::over_session(session, self.version, self.link.socks.clone());
        let ByVersion { v2, v3 } = self.backends;
        let (shown, outcome) = match self.version {
            Version::V2 => look_up_version::<V2>(network, v2, end).await,
            Version::V3 => look_up_version::<V3>(network, v3, end).await,
        };
        match outcome {
            Ok((Lookups { lifetime, backends }, probed)) => {
                let clock = consensus::judge(&lifetime, onionbalance_process::now());
                let rows = shown.iter().zip(&backends).map(|(backend, lookup)| backend.row(lookup));
                [clock].into_iter().chain(rows).chain(probed).collect()
            }
            Err(error) => {
                let text = format!("cannot read the directory of {}: {error}", self.link);
                vec![Row::new(Verdict::Error, "tor", text)]
            }
        }
    }
}

/// Looks the backends up, and probes those with a health check. Returns the lookups and the rows of the
/// probes; `Err`: a message.
async fn look_up_version<V: OnionVersion>(
    mut network: ControlPort,
    backends: Backends<V::Backend>,
    end: Instant,
) -> (Vec<Backend>, Result<(Lookups, Vec<Row>), String>) {
    let Backends { shown, instances } = backends;
    let lookups = match look_up::<V, _>(&mut network, instances, end).await {
        Ok(lookups) => lookups,
        Err(error) => return (shown, Err(error)),
    };
    let probed = probes::make(&mut network, &shown, end).await;
    (shown, Ok((lookups, probed)))
}

/// Gives each service's backends to a tor that is ready. Returns a row for each service without one.
fn share_out(setup: &Setup, services: &[Part<'_>], held: &[HeldService], tors: &mut [Tor]) -> Vec<Row> {
    let lines = Lines::of(setup.configuration().text());
    let mut rows = Vec::new();
    for part in services {
        match tors.iter_mut().find(|tor| part.uses(tor) && tor.session.is_some()) {
            Some(tor) => {
                // A single service needs no name beside its backends', unless it has one.
                let label =
                    (part.service.name.is_some() || services.len() > 1).then_some(part.label.as_str());
                let frontend = address_of(part.service, held);
                tor.backends.add(&lines, part.service, label, frontend.as_deref());
            }
            None => rows.push(Row::new(Verdict::Unknown, &part.label, "not looked up: no tor is ready")),
        }
    }
    rows
}

async fn look_up_all(tors: Vec<Tor>) -> Vec<Row> {
    let end = Instant::now() + LOOKUPS_WITHIN;
    let mut running = JoinSet::new();
    for (index, tor) in tors.into_iter().enumerate() {
        running.spawn(async move { (index, tor.look_up(end).await) });
    }
    let mut rows = running.join_all().await;
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().flat_map(|(_, rows)| rows).collect()
}

/// A plan for each service, or the row that says why it is not visited.
async fn plan_visits(
    services: &[Part<'_>],
    tors: &[Tor],
    held: &[HeldService],
    visits: u16,
    port: u16,
) -> Vec<Result<Plan, Row>> {
    let mut plans = Vec::with_capacity(services.len());
    for part in services {
        let Some(tor) = part.tor(tors.iter()) else { continue };
        let unvisited =
            |text: String| Row::new(Verdict::Unknown, &part.label, format!("not visited: {text}"));
        let plan = match (address_of(part.service, held), tor.socks().await) {
            (None, _) => Err(unvisited("only the signer knows its address".to_owned())),
            (_, Err(problem)) => Err(unvisited(problem)),
            (Some(address), Ok(socks)) => Ok(Plan {
                subject: part.label.clone(),
                address,
                has_ob_config: part.version == Version::V3,
                socks,
                port,
                visits,
            }),
        };
        plans.push(plan);
    }
    plans
}

fn split(plans: Vec<Result<Plan, Row>>) -> (Vec<Plan>, Vec<Row>) {
    let (mut good, mut rows) = (Vec::new(), Vec::new());
    for plan in plans {
        match plan {
            Ok(plan) => good.push(plan),
            Err(row) => rows.push(row),
        }
    }
    (good, rows)
}
