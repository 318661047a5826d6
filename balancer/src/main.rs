//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use onionbalance::cli::Arguments;
use onionbalance::config::{self, Configuration, ServiceTor};
use onionbalance::generation::{Frontend, Generation};
use onionbalance::log;
use onionbalance::runtime::{Link, Runtimes};
use onionbalance::signer::{SignerClient, SignerError};
use onionbalance::status::StatusSockets;
use onionbalance::tor::{Endpoint, Password};
use onionbalance::v2::V2;
use onionbalance::v3::V3;
use onionbalance_proto::config::{ConfigError, LogSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

/// `EX_CONFIG` of sysexits.h: starting again will not help.
const BAD_CONFIGURATION: u8 = 78;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let configuration = match begin(&arguments) {
        Ok(configuration) => configuration,
        Err(problem) => {
            // What is wrong with the log, or with the file that says where it is, can only be said on standard error.
            if log::begin(&LogSettings::default()).is_ok() {
                error!("{problem}");
            }
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match balance(&arguments, &configuration).await {
        Ok(()) => ExitCode::SUCCESS,
        // It has said so itself.
        Err(problem) if matches!(problem.downcast_ref(), Some(SignerError::BadConfiguration)) => {
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(problem) => {
            error!("{problem}");
            if problem.is::<ConfigError>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

/// Reads the file and begins to log.
fn begin(arguments: &Arguments) -> Result<Configuration, Box<dyn std::error::Error>> {
    let configuration = Configuration::read(&arguments.config)?;
    let level = variable("ONIONBALANCE_LOG_LEVEL");
    let location = variable("ONIONBALANCE_LOG_LOCATION").map(PathBuf::from);
    log::begin(&arguments.log(configuration.log(), level, location)?)?;
    configuration.warn();
    Ok(configuration)
}

async fn balance(
    arguments: &Arguments,
    configuration: &Configuration,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let mut signer = SignerClient::new(configuration.signer());
    // It may be asking a person for passphrases, who may change his mind.
    let held = tokio::select! {
        held = signer.services() => held?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let frontends = configuration.frontends(&held)?;
    let places = configuration.status(variable("ONIONBALANCE_STATUS_SOCKET_LOCATION").map(PathBuf::from));
    let status = StatusSockets::bind(&places)?;
    let tor = DefaultTor {
        endpoints: arguments
            .endpoints(&configuration.tor(), variable("ONIONBALANCE_TOR_CONTROL_SOCKET").map(PathBuf::from)),
        password: configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD")),
    };
    let mut runtimes = Runtimes::new(signer, configuration.tuning().clone());
    start::<V2>(&mut runtimes, frontends.v2, &tor);
    start::<V3>(&mut runtimes, frontends.v3, &tor);
    let board = runtimes.board();
    tokio::select! {
        refused = runtimes.refused() => Err(refused.into()),
        () = status.serve(&board) => Ok(()),
        () = ignore_hangups(hangup) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// The tor of those services that name no other.
struct DefaultTor {
    endpoints: Vec<Endpoint>,
    password: Option<Password>,
}

/// Has the frontends of one generation balanced, those together that have the same tor.
fn start<G: Generation>(
    runtimes: &mut Runtimes,
    frontends: Vec<config::Frontend<G::Address, G::Backend>>,
    default: &DefaultTor,
) {
    let mut by_tor: Vec<(Option<ServiceTor>, Vec<Frontend<G>>)> = Vec::new();
    for config::Frontend { address, backends, tor } in frontends {
        info!(service = %address, backends = backends.len(), "balancing");
        let frontend = Frontend { address, backends };
        match by_tor.iter_mut().find(|(known, _)| *known == tor) {
            Some((_, frontends)) => frontends.push(frontend),
            None => by_tor.push((tor, vec![frontend])),
        }
    }
    for (tor, frontends) in by_tor {
        let (endpoints, password) = match tor {
            Some(tor) => (vec![tor.endpoint], tor.password.or_else(|| default.password.clone())),
            None => (default.endpoints.clone(), default.password.clone()),
        };
        runtimes.start(frontends, Link { endpoints, password });
    }
}

/// A reload must not end the service, not even while there is none.
async fn ignore_hangups(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        warn!("SIGHUP: the configuration is read at the start only; restart to apply a change");
    }
    std::future::pending::<()>().await;
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
