//! Processes die, freeze and return under continuous visits. The tests measure the failed visits, and the
//! time until everything is published again.
//!
//! Each fault has a frontend, a visitor and a balancer's tor of its own, and breaks only its own processes,
//! so that all faults run at once on one network. At the end a table is printed, and written to
//! `target/faults.md`.

mod backends;
mod balancer;
mod dormant;
mod hsdir;
#[path = "../frontend/made_up.rs"]
mod made_up;
mod neighbours;
#[path = "../frontend/observer.rs"]
#[expect(dead_code, reason = "the tests of the frontend use more of it")]
mod observer;
mod probes;
mod reload;
mod report;
mod signer;
mod site;
mod tor;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Trial, run};

/// The name of a fault and of its frontend, and its test.
type Fault = (&'static str, fn(&'static str) -> Result<()>);

const FAULTS: [Fault; 15] = [
    ("nothing", backends::nothing),
    ("backend_killed", backends::killed),
    ("backend_frozen", backends::frozen),
    ("all_backends_killed", backends::all_killed),
    ("probed_tor", probes::of_tor),
    ("probed_web_server", probes::of_web_server),
    ("signer_killed", signer::killed),
    ("balancer_killed", balancer::killed),
    ("tor_killed", tor::killed),
    ("tor_dormant", dormant::signalled),
    ("tor_killed_for_good", tor::killed_for_good),
    ("hsdir_killed", hsdir::killed),
    ("hsdir_frozen", hsdir::frozen),
    ("neighbour_poisoned", neighbours::poisoned),
    ("reloaded", reload::hangup),
];

/// The slowest faults, which run with `--include-ignored` only.
const LONG: [Fault; 2] =
    [("backend_killed_for_good", backends::killed_for_good), ("tor_cut_off", dormant::timed_out)];

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    // The tests wait most of the time.
    arguments.test_threads.get_or_insert(names().count());
    let trial = |(name, fault): Fault| {
        Trial::test(name, move || fault(name).map_err(|error| format!("{error:#}").into()))
    };
    let mut trials = Vec::from(FAULTS.map(trial));
    trials.extend(LONG.map(|fault| trial(fault).with_ignored_flag(true)));
    let conclusion = run(&arguments, trials);
    report::finish(names())?;
    Ok(conclusion.exit_code())
}

/// The names of all faults, in the order of the table.
fn names() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().chain(&LONG).map(|(name, _)| *name)
}
