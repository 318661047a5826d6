//! `onionbalance-signer check`: opens all keys of the configuration as the signer would at its start, and
//! ends. `main` has protected the process before.

use std::io::{self, Write};
use std::process::ExitCode;

use onionbalance_proto::wire::HeldService;

use crate::config_file::ConfigFile;
use crate::log;
use crate::service::Service;
use crate::setup::{self, Setup};
use crate::start::{Options, Problem};

/// Opens the keys, and prints a line for each service in the order of the configuration. The exit status is 0
/// if the signer would start with them, else 78. A signal ends the process by its default action, so that it
/// is no success.
pub fn run(options: &Options) -> ExitCode {
    log::leave_out_time();
    match open(options) {
        Ok(mut setup) => {
            print(&setup.services.held().iter().map(line).collect::<String>());
            setup.services.log_notices();
            ExitCode::SUCCESS
        }
        Err(problem) => problem.end().into(),
    }
}

/// # Errors
/// The signer would not start with this configuration and these keys.
fn open(options: &Options) -> Result<Setup, Problem> {
    let passphrases = options.passphrases.read().map_err(Problem::lasting)?;
    let config_file = ConfigFile::new(&options.config).map_err(Problem::lasting)?;
    setup::load(&config_file, &passphrases).map_err(Problem::lasting)
}

/// The key as the configuration names it, the address, and the end of a delegation.
fn line(service: &Service) -> String {
    let ends = match service.public() {
        HeldService::V3 { delegation_ends: Some(ends), .. } => format!(", delegated until {ends} UTC"),
        HeldService::V2(_) | HeldService::V3 { .. } => String::new(),
    };
    format!("{}: {}{ends}\n", service.key, service.address())
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    // The exit status has the verdict if nobody reads the lines.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
