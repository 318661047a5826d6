//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use onionbalance::cli::Arguments;
use onionbalance::config::Configuration;
use onionbalance::log;
use onionbalance::runtime::wall_clock;
use onionbalance::signer::{SignerClient, SignerError};
use onionbalance::start::{Balancer, variable};
use onionbalance::state::Memory;
use onionbalance::status::StatusSockets;
use onionbalance::tor::SessionError;
use onionbalance_proto::config::{ConfigError, LogSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::error;

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
    match balance(arguments, configuration).await {
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
fn begin(arguments: &Arguments) -> Result<Configuration, Box<dyn Error>> {
    let configuration = Configuration::read(&arguments.config)?;
    let level = variable("ONIONBALANCE_LOG_LEVEL");
    let location = variable("ONIONBALANCE_LOG_LOCATION").map(PathBuf::from);
    log::begin(&arguments.log(configuration.log(), level, location)?)?;
    configuration.warn();
    Ok(configuration)
}

async fn balance(arguments: Arguments, configuration: Configuration) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let signer = SignerClient::new(configuration.signer());
    let places = configuration.status(variable("ONIONBALANCE_STATUS_SOCKET_LOCATION").map(PathBuf::from));
    let status = StatusSockets::bind(&places)?;
    let memory = memory(&configuration);
    let work = async {
        let mut balancer = Balancer::start(arguments, configuration, signer, memory.clone()).await?;
        let board = balancer.runtimes().board();
        tokio::select! {
            refused = serve(&mut balancer, &mut hangup) => Err(refused.into()),
            () = status.serve(&board) => Ok(()),
            () = memory.keep(wall_clock) => Ok(()),
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    memory.save(wall_clock());
    outcome
}

/// What an earlier process has left.
fn memory(configuration: &Configuration) -> Memory {
    // A colon stands between several.
    let directory = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    configuration.state_file(directory).map_or_else(Memory::default, Memory::read)
}

/// Balances, by the newest configuration that makes sense, until a tor turns out never to let us in.
async fn serve(balancer: &mut Balancer, hangup: &mut Signal) -> SessionError {
    loop {
        tokio::select! {
            refused = balancer.runtimes().refused() => return refused,
            Some(()) = hangup.recv() => balancer.reload().await,
        }
    }
}
