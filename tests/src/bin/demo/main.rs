//! `cargo demo`: a private Tor network, three backends, the signer and the balancer, and 60 visits to the
//! frontend; `--v2` uses v2 onion services, and a fourth backend that authorizes its clients; `--probes` kills
//! a backend that is probed, and shows it leave and return.
//!
//! Ends with status 0 only if every backend answered and no request failed.

mod authorized;
mod frontend;
mod interrupt;
mod probes;
mod screen;
mod visits;

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use onionbalance_tests::network::{Backend, Network, Plan};
use onionbalance_tests::onion::{Onion, OnionVersion};
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;

use self::authorized::Closed;
use self::frontend::{Config, Frontend, write_config};
use self::screen::Screen;
use self::visits::Visits;

/// Shows Onionbalance at work: a private Tor network on this machine, three backends behind one frontend
/// address, and 60 requests to it through Tor. Takes less than 3 minutes once built, removes all its files,
/// and uses no other network than Debian's package archive, for a tor if none is installed.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Use v2 onion services, on a tor that still has them: it is built from source the first time, in a
    /// minute or two
    #[arg(long)]
    v2: bool,

    /// Probe the backends, kill one of them, and show how it leaves what is published and returns: about a minute
    /// more
    #[arg(long)]
    probes: bool,

    /// Keep everything running afterwards until Ctrl-C, and print commands to try
    #[arg(long)]
    keep: bool,
}

/// The running programs, and the results of the visits.
struct Balanced {
    config: Config,
    /// The time from the balancer's start to its first publication.
    to_publication: Duration,
    visits: Visits,
    _signer: Running,
    _balancer: Running,
    _closed: Option<Closed>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::new();
    match interrupt::watch().and_then(|()| demonstrate(&screen, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::yield_to();
            screen::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(screen: &Screen, arguments: &Arguments) -> Result<()> {
    screen.stage("building onionbalance and onionbalance-signer");
    let programs = Programs::delivered()?;
    screen.stage("starting a private Tor network");
    let started = Instant::now();
    let version = if arguments.v2 { OnionVersion::V2 } else { OnionVersion::V3 };
    let frontend = Frontend::generate(version)?;
    let plan = match frontend.onion {
        Onion::V2(_) => Plan::v2(),
        Onion::V3(address) => Plan { frontends: vec![address], ..Plan::default() },
    };
    let network = Network::start_telling(&plan, |stage| screen.stage(&stage.what))?;
    let to_network = started.elapsed();
    let shown = balance(screen, programs, &network, &frontend, arguments.probes).and_then(|balanced| {
        judge(&network, to_network, balanced.to_publication, &balanced.visits)?;
        Ok(balanced)
    });
    let balanced = shown.map_err(|error| {
        network.keep_directory();
        error.context(format!("the demo failed; all logs are in {}", network.directory().display()))
    })?;
    if arguments.keep {
        screen::trials(programs, &network, &balanced.config, &frontend);
        interrupt::wait();
    }
    Ok(())
}

/// Runs the two programs, and visits the frontends.
fn balance(
    screen: &Screen,
    programs: &Programs,
    network: &Network,
    frontend: &Frontend,
    with_probes: bool,
) -> Result<Balanced> {
    let open = network.backends();
    for backend in &open {
        let page = network.client().get(&backend.address(), 80, "/")?;
        ensure!(page.text() == backend.name(), "{} does not answer for itself", backend.name());
    }
    screen.stage("every backend answers at its own address");
    let closed = match frontend.onion {
        Onion::V2(_) => Some(Closed::start(screen, network)?),
        Onion::V3(_) => None,
    };
    let mut frontends: Vec<(&Frontend, &[Arc<Backend>])> = vec![(frontend, &open)];
    frontends.extend(closed.as_ref().map(|closed| (&closed.frontend, closed.backends.as_slice())));
    let health_check = if with_probes { probes::HEALTH_CHECK } else { "" };
    let config = write_config(network, &frontends, health_check)?;
    let signer = start_signer(screen, programs, network, &config)?;
    let clients = network.new_tor_clients(CLIENTS)?;
    screen.stage(&format!("{CLIENTS} visitors ready"));
    let started = Instant::now();
    let balancer = start_balancer(programs, network, &config)?;
    screen.stage(&format!("onionbalance serves {}", frontend.onion));
    wait_published(&balancer, frontend)?;
    let to_publication = started.elapsed();
    screen.stage("first publication");
    let visits = Visits::make(&clients, &frontend.onion, started)?;
    screen.stage("visits made");
    if let Some(closed) = &closed {
        wait_published(&balancer, &closed.frontend)?;
        closed.visit(screen, network)?;
    }
    if with_probes {
        probes::show(screen, network, &balancer, frontend, &clients)?;
    }
    Ok(Balanced { config, to_publication, visits, _signer: signer, _balancer: balancer, _closed: closed })
}

fn start_signer(screen: &Screen, programs: &Programs, network: &Network, config: &Config) -> Result<Running> {
    let log = network.directory().join("onionbalance-signer.log");
    let signer = Running::start(Command::new(&programs.signer).arg("-c").arg(&config.file), &log)?;
    until(START_TIMEOUT, || match signer.exited()? {
        Some(status) => bail!("it ended ({status})"),
        None => Ok(config.signer_socket.exists().then_some(())),
    })
    .with_context(|| signer.failure("opened no socket"))?;
    screen.stage("onionbalance-signer holds the frontend's key");
    Ok(signer)
}

fn start_balancer(programs: &Programs, network: &Network, config: &Config) -> Result<Running> {
    let mut command = Command::new(&programs.balancer);
    command.arg("-c").arg(&config.file);
    Running::start(&mut command, &network.directory().join("onionbalance.log"))
}

/// The balancer logs `published` for each descriptor that is on all its HSDirs.
fn wait_published(balancer: &Running, frontend: &Frontend) -> Result<()> {
    let service = format!("service={}", frontend.onion);
    let published = |log: &str| {
        let mut lines = log.lines();
        lines.any(|line| line.contains("published descriptor") && line.contains(&service)).then_some(())
    };
    let missing = format!("published no descriptor of {}", frontend.onion);
    balancer.wait_output(&missing, PUBLISH_TIMEOUT, published)
}

/// Prints the result, and makes it an error unless it is a full success.
fn judge(network: &Network, to_network: Duration, to_publication: Duration, visits: &Visits) -> Result<()> {
    let open = network.backends().into_iter().filter(|backend| backend.clients().is_empty());
    let names: Vec<String> = open.map(|backend| backend.name().to_owned()).collect();
    screen::result(&names, to_network, to_publication, visits);
    if let Some(failure) = visits.failures.first() {
        bail!("{} requests failed, the first one so: {failure}", visits.failures.len());
    }
    if let Some(idle) = names.iter().find(|name| visits.answers_of(name) == 0) {
        bail!("{idle} got no visitor");
    }
    Ok(())
}

/// Visitors, each with a tor of its own.
const CLIENTS: usize = 6;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(90);
