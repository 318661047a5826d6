//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use onionbalance::cli::Arguments;
use onionbalance::config::Configuration;
use onionbalance::log;
use onionbalance::runtime::{Link, Runtime};
use onionbalance::signer::{SignerClient, SignerError};
use onionbalance::status::StatusSockets;
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
    for frontend in &frontends.v2 {
        warn!("{} is a v2 onion service, which this program does not balance yet", frontend.address);
    }
    for frontend in &frontends.v3 {
        info!(service = %frontend.address, backends = frontend.backends.len(), "balancing");
    }
    let link = Link {
        endpoints: arguments
            .endpoints(&configuration.tor(), variable("ONIONBALANCE_TOR_CONTROL_SOCKET").map(PathBuf::from)),
        password: configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD")),
    };
    let places = configuration.status(variable("ONIONBALANCE_STATUS_SOCKET_LOCATION").map(PathBuf::from));
    let status = StatusSockets::bind(&places)?;
    let (mut runtime, mut reports) = Runtime::new(frontends.v3, signer);
    tokio::select! {
        refused = runtime.run(&mut reports, link, status) => Err(refused.into()),
        () = ignore_hangups(hangup) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
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
