//! `onionbalance`: see the library for what it does, `--help` for how to start it.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use onionbalance::cli::{Arguments, Task};
use onionbalance::commands;
use onionbalance::confinement::{hardening, user};
use onionbalance::lifecycle::service_manager::ServiceManager;
use onionbalance::lifecycle::signals::{Endings, Requests};
use onionbalance::lifecycle::{Balancer, Setup, Sockets};
use onionbalance::log::{self, Verbosity};
use onionbalance::signer::SignerError;
use onionbalance::status::{PortError, StatusError};
use onionbalance_process::BAD_CONFIGURATION;
use onionbalance_proto::config::ConfigError;
use tokio::runtime::Builder;
use tracing::error;

fn main() -> ExitCode {
    let arguments = match Task::read() {
        Task::Balance(arguments) => *arguments,
        Task::Check(options) => return commands::check::run(&options),
        Task::Status(options) => return commands::status::run(&options),
        Task::Drain(options) => return commands::control::drain(&options),
        Task::Enable(options) => return commands::control::enable(&options),
        Task::Config(options) => return commands::config::run(&options),
        Task::LegacyConfig(options) => return commands::config::run_legacy(&options),
    };
    let (format, settings) = (arguments.log_format, Setup::log_without_file(&arguments));
    // A thread has the confinement of the thread that started it, so none is kept for later work.
    let runtime = Builder::new_current_thread().enable_all().thread_keep_alive(Duration::ZERO).build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments));
            // Work in threads is not waited for.
            runtime.shutdown_background();
            code
        }
        Err(problem) => {
            if log::begin(&settings, format).is_ok() {
                error!("cannot start: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> ExitCode {
    let (format, settings) = (arguments.log_format, Setup::log_without_file(&arguments));
    // Signals come first: a request that comes early must not end the process.
    let signals = match subscribe() {
        Ok(signals) => signals,
        Err(problem) => {
            if log::begin(&settings, format).is_ok() {
                error!("cannot wait for signals: {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let (setup, verbosity) = match begin(arguments) {
        Ok(begun) => begun,
        Err(problem) => {
            // A problem with the log, or with the file that configures it, can only be reported on standard
            // error.
            if log::begin(&settings, format).is_ok() {
                error!("{problem}");
            }
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match balance(setup, verbosity, signals).await {
        Ok(()) => ExitCode::SUCCESS,
        // The signer has logged the reason itself.
        Err(problem) if matches!(problem.downcast_ref(), Some(SignerError::BadConfiguration)) => {
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(problem) => {
            error!("{problem}");
            if is_lasting(&*problem) { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

/// True if the configuration or the installation has to be changed first: a restart would be in vain.
fn is_lasting(problem: &(dyn Error + 'static)) -> bool {
    let of_signer = problem.downcast_ref::<SignerError>().is_some_and(SignerError::is_lasting);
    let of_group = matches!(problem.downcast_ref(), Some(StatusError::Group(_)));
    let of_port = problem.downcast_ref::<PortError>().is_some_and(PortError::is_lasting);
    problem.is::<ConfigError>() || of_signer || of_group || of_port
}

fn subscribe() -> io::Result<(Endings, Requests)> {
    Ok((Endings::subscribe()?, Requests::subscribe()?))
}

/// Reads the file, becomes its user, and begins to log.
fn begin(arguments: Arguments) -> Result<(Setup, Verbosity), Box<dyn Error>> {
    hardening::harden()?;
    let format = arguments.log_format;
    let setup = Setup::read(arguments)?;
    if let Some(user) = setup.configuration().user() {
        user::become_user(user)?;
    }
    let verbosity = log::begin(setup.log(), format)?;
    verbosity.label(setup.labels(&[]));
    setup.configuration().warn();
    setup.warn_of_reload();
    Ok((setup, verbosity))
}

async fn balance(
    setup: Setup,
    verbosity: Verbosity,
    (mut endings, mut requests): (Endings, Requests),
) -> Result<(), Box<dyn Error>> {
    let manager = ServiceManager::connect();
    let memory = setup.memory();
    memory.forget_ended_drains(onionbalance_process::now());
    let work = async {
        let (mut balancer, Sockets { status, port, control }) =
            Balancer::start(setup, verbosity, memory.clone(), manager.clone()).await?;
        let board = balancer.board();
        tokio::select! {
            problem = balancer.serve(&mut requests) => Err(problem),
            () = status.serve(&board) => Ok(()),
            () = port.serve(&board) => Ok(()),
            () = control.serve(&board, &memory) => Ok(()),
            () = manager.keep_told(&board) => Ok(()),
            () = memory.keep(onionbalance_process::now) => Ok(()),
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = endings.any() => Ok(()),
    };
    memory.end(onionbalance_process::now()).await;
    outcome
}
