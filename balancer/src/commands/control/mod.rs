//! `onionbalance drain` and `onionbalance enable`: ask a running balancer, and print its answer.

mod ask;

use std::io::{self, Write};
use std::process::ExitCode;

use self::ask::ask;
use super::clean;
use crate::cli::{ControlOptions, DrainOptions, EnableOptions};
use crate::control::request::{Answer, Command, Effect, Outcome, Request};

/// The exit status if nothing was changed because the balancer refuses, or because the weight is 0.
const REFUSED: u8 = 1;
/// The exit status if the balancer does not answer.
const NO_ANSWER: u8 = 4;

/// Drains a backend, and returns the exit status of the process.
pub fn drain(options: &DrainOptions) -> ExitCode {
    let DrainOptions { backend, seconds, force, control } = options;
    run("drain", backend, Command::Drain { seconds: *seconds, force: *force }, control)
}

/// Enables a backend, and returns the exit status of the process.
pub fn enable(options: &EnableOptions) -> ExitCode {
    run("enable", &options.backend, Command::Enable, &options.control)
}

fn run(verb: &str, backend: &str, command: Command, options: &ControlOptions) -> ExitCode {
    let request = Request { backend: backend.to_owned(), service: options.service.clone(), command };
    let (out, errors, code) = match ask(&request, options) {
        Ok(Answer::Done { services, not_kept }) => {
            let code = if services.iter().all(is_in_vain) { REFUSED } else { 0 };
            let lines: String = services.iter().map(|outcome| clean(&outcome.to_string()) + "\n").collect();
            let not_kept = not_kept.map(|reason| {
                format!("warning: not kept over a restart of onionbalance: {}\n", clean(&reason))
            });
            (lines, not_kept.unwrap_or_default(), code)
        }
        Ok(Answer::Refused(reason)) => {
            (String::new(), format!("cannot {verb} {}: {}\n", clean(backend), clean(&reason)), REFUSED)
        }
        Err(error) => {
            let remedies = error.remedies().iter().map(|remedy| format!("  {remedy}\n"));
            let remedies: String = remedies.collect();
            (String::new(), format!("cannot {verb} {}: {error}\n{remedies}", clean(backend)), NO_ANSWER)
        }
    };
    // Nobody is left to be told if these fail.
    let _ = io::stdout().write_all(out.as_bytes());
    let _ = io::stderr().write_all(errors.as_bytes());
    ExitCode::from(code)
}

/// True if a request changed nothing that it was to change.
fn is_in_vain(outcome: &Outcome) -> bool {
    outcome.effect == Effect::WeightIsZero
}
