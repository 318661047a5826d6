//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use onionbalance::cli::Arguments;
use onionbalance::config::Configuration;
use onionbalance::runtime::{Link, Runtime};
use onionbalance::signer::{SignerClient, SignerError};
use onionbalance::status::StatusSocket;
use onionbalance_proto::config::ConfigError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

/// `EX_CONFIG` of sysexits.h: starting again will not help.
const BAD_CONFIGURATION: u8 = 78;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(arguments.verbosity))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log that nobody reads any more is no reason to stop: its own errors would go there too, and panic.
        .log_internal_errors(false)
        .init();
    match balance(arguments).await {
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

async fn balance(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let configuration = Configuration::read(&arguments.config)?;
    let mut signer = SignerClient::new(configuration.signer());
    let frontends = configuration.frontends(&signer.services().await?)?;
    for frontend in &frontends {
        info!(service = %frontend.address, backends = frontend.backends.len(), "balancing");
    }
    let link = Link {
        endpoints: arguments.endpoints(variable("ONIONBALANCE_TOR_CONTROL_SOCKET").map(PathBuf::from)),
        password: configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD")),
    };
    let status =
        configuration.status_socket(variable("ONIONBALANCE_STATUS_SOCKET_LOCATION").map(PathBuf::from));
    let status = status.as_deref().map(StatusSocket::bind).transpose()?;
    let (mut runtime, mut reports) = Runtime::new(frontends, signer);
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
