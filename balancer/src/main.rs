//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use onionbalance::cli::Arguments;
use onionbalance::config::Configuration;
use onionbalance::confinement::{hardening, user};
use onionbalance::log;
use onionbalance::runtime::wall_clock;
use onionbalance::signer::SignerError;
use onionbalance::start::{Balancer, log_settings, state};
use onionbalance_proto::config::{ConfigError, LogSettings};
use tokio::signal::unix::{SignalKind, signal};
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

/// Reads the file, becomes its user, and begins to log.
fn begin(arguments: &Arguments) -> Result<Configuration, Box<dyn Error>> {
    hardening::harden()?;
    let configuration = Configuration::read(&arguments.config)?;
    if let Some(user) = configuration.user() {
        user::become_user(user)?;
    }
    log::begin(&log_settings(arguments, &configuration)?)?;
    configuration.warn();
    Ok(configuration)
}

async fn balance(arguments: Arguments, configuration: Configuration) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let memory = state(&configuration);
    let work = async {
        let (mut balancer, status) = Balancer::start(arguments, configuration, memory.clone()).await?;
        let board = balancer.board();
        tokio::select! {
            problem = balancer.serve(&mut hangup) => Err(problem),
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
