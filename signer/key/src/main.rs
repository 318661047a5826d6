//! The program `onionbalance-key`. The library describes it, `--help` its commands.

use std::process::ExitCode;

use onionbalance_key::Task;
use onionbalance_signer::log::{self, Priority};
use onionbalance_signer::system::hardening;

/// The usual exit status for a wrong command line.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    log::leave_out_time();
    // Hardened before a key is read, as in the signer.
    if let Err(error) = hardening::harden() {
        log::line(Priority::Error, format_args!("cannot protect the process's memory: {error}"));
        return ExitCode::FAILURE;
    }
    match onionbalance_key::parse(&mut lexopt::Parser::from_env()) {
        Ok(Task::Run(work)) => onionbalance_key::run(work),
        Ok(Task::Print(text)) => print(text),
        Err(error) => {
            log::line(Priority::Error, format_args!("{error}; see --help"));
            ExitCode::from(BAD_USAGE)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the text is the program's output")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
