//! `cargo demo`: a private Tor network, three backends, the signer and the balancer, and 60 visits to the frontend.
//!
//! Ends with status 0 only if every backend answered and no request failed.

mod frontend;
mod interrupt;
mod screen;
mod visits;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use onionbalance_tests::network::{Network, Plan};
use onionbalance_tests::programs::{Programs, Running};
use onionbalance_tests::wait::until;

use self::frontend::Frontend;
use self::screen::Screen;
use self::visits::Visits;

/// Shows Onionbalance at work: a private Tor network on this machine, three backends behind one frontend address, and
/// 60 requests to it through Tor. Takes less than 3 minutes once built, leaves nothing behind, and contacts nobody
/// (but Debian's package archive for a tor, where none is installed).
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let screen = Screen::new();
    match interrupt::watch().and_then(|()| demonstrate(&screen)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::yield_to();
            screen::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(screen: &Screen) -> Result<()> {
    screen.stage("building onionbalance and onionbalance-signer");
    let programs = Programs::build()?;
    screen.stage("starting a private Tor network");
    let started = Instant::now();
    let frontend = Frontend::generate()?;
    let plan = Plan { frontends: vec![frontend.address()], ..Plan::default() };
    let network = Network::start_telling(&plan, |stage| screen.stage(&stage.what))?;
    let to_network = started.elapsed();
    let shown = balance(screen, programs, &network, &frontend)
        .and_then(|(to_publication, visits)| judge(&network, to_network, to_publication, &visits));
    shown.map_err(|error| {
        network.keep_directory();
        error.context(format!("the demo failed; all logs are in {}", network.directory().display()))
    })
}

/// Runs the two programs until the frontend has been visited; the time from the balancer's start to its first publication,
/// and what the visits were like.
fn balance(
    screen: &Screen,
    programs: &Programs,
    network: &Network,
    frontend: &Frontend,
) -> Result<(Duration, Visits)> {
    for backend in network.backends() {
        let page = network.client().get(&backend.address(), 80, "/")?;
        ensure!(page.text() == backend.name(), "{} does not answer for itself", backend.name());
    }
    screen.stage("every backend answers at its own address");
    let config = frontend.write_config(network)?;
    let logs = network.directory();
    let signer = Running::start(
        Command::new(&programs.signer).arg("-c").arg(&config.file),
        &logs.join("onionbalance-signer.log"),
    )?;
    until(START_TIMEOUT, || match signer.exited()? {
        Some(status) => bail!("it ended ({status})"),
        None => Ok(config.signer_socket.exists().then_some(())),
    })
    .with_context(|| signer.failure("opened no socket"))?;
    screen.stage("onionbalance-signer holds the frontend's key");
    let clients = network.new_tor_clients(CLIENTS)?;
    screen.stage(&format!("{CLIENTS} visitors ready"));
    let started = Instant::now();
    let balancer = Running::start(
        Command::new(&programs.balancer)
            .arg("-s")
            .arg(network.management().control_socket())
            .arg("-c")
            .arg(&config.file),
        &logs.join("onionbalance.log"),
    )?;
    screen.stage(&format!("onionbalance serves {}", frontend.address()));
    let to_publication = wait_published(&balancer, started)?;
    screen.stage("first publication");
    let visits = Visits::make(&clients, &frontend.address(), started)?;
    screen.stage("visits made");
    Ok((to_publication, visits))
}

/// Prints the result, and makes it an error unless it is a full success.
fn judge(network: &Network, to_network: Duration, to_publication: Duration, visits: &Visits) -> Result<()> {
    let names: Vec<String> = network.backends().iter().map(|backend| backend.name().to_owned()).collect();
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

/// The balancer says `published` for each descriptor that all its HSDirs have acknowledged.
fn wait_published(balancer: &Running, started: Instant) -> Result<Duration> {
    balancer.wait_line("published descriptor", PUBLISH_TIMEOUT).context("onionbalance published nothing")?;
    Ok(started.elapsed())
}
