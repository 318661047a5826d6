//! Hunts for faults of the engine, seed after seed.
//!
//! `cargo run --release -p onionbalance-tests --bin hunt -- --seconds 600`

mod tors;

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZero;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use onionbalance_simulator::network::calendar::Calendar;
use onionbalance_simulator::scenario::{Scenario, Version};
use onionbalance_simulator::trace::Trace;
use onionbalance_simulator::watch;

/// The simulations to run.
#[derive(Parser)]
struct Options {
    /// The seconds for which further seeds are tried.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The version of onion services, 2 or 3; either by the seed otherwise.
    #[arg(long)]
    version: Option<u8>,
    /// The simulated days.
    #[arg(long)]
    days: Option<u64>,
    /// The number of services.
    #[arg(long)]
    services: Option<usize>,
    /// The number of backends that the services share; by default as many as `--services`, if that is given.
    #[arg(long)]
    backends: Option<usize>,
    /// The number of backends that each service has of its own, instead of shared ones: `--backends` is that
    /// times `--services`.
    #[arg(long)]
    each: Option<usize>,
    /// The number of relays that run at a time.
    #[arg(long)]
    relays: Option<usize>,
    /// True if faults happen.
    #[arg(long)]
    trouble: Option<bool>,
    /// The seconds that the signer takes for a descriptor.
    #[arg(long, default_value_t = 0)]
    signature: u64,
    /// The minutes of a time period in a testing network, which has version 3 only: an even divisor of a
    /// day's, from 6 on.
    #[arg(long, value_parser = calendar)]
    period_minutes: Option<Calendar>,
    /// The number of a service, from 0 on, whose events are printed.
    #[arg(long)]
    trace: Option<usize>,
    /// The number of tors over which the balancer spreads the services, each with its own backends. Each tor is
    /// a simulation, with a seed of its own from `--seed` on. They run on all cores, and their reports are
    /// summed up.
    #[arg(long, requires = "each", conflicts_with_all = ["seconds", "trace"])]
    tors: Option<NonZero<usize>>,
}

impl Options {
    fn scenario(&self, seed: u64) -> Scenario {
        let usual = Scenario::of_seed(seed);
        let version = self.version.map(|version| if version == 2 { Version::V2 } else { Version::V3 });
        let services = self.services.unwrap_or(usual.services);
        let own = self.each.map(|each| each * services);
        Scenario {
            seed,
            version: version.unwrap_or(if self.period_minutes.is_some() {
                Version::V3
            } else {
                usual.version
            }),
            days: self.days.unwrap_or(usual.days),
            services,
            backends: own.or(self.backends).or(self.services).unwrap_or(usual.backends),
            each: self.each,
            relays: self.relays.unwrap_or(usual.relays),
            // In a testing network the times within which faults are over are longer than periods.
            trouble: self.trouble.unwrap_or(usual.trouble && self.period_minutes.is_none()),
            signature: Duration::from_secs(self.signature),
            calendar: self.period_minutes.unwrap_or(Calendar::PUBLIC),
        }
    }
}

fn calendar(minutes: &str) -> Result<Calendar, String> {
    let minutes = minutes.parse().map_err(|_| "not a number of minutes".to_owned())?;
    Calendar::testing(minutes).ok_or_else(|| "an even divisor of 1440, from 6 on".to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.version == Some(2) && options.period_minutes.is_some() {
        let problem = "periods of version 2 take a day in any network: leave --period-minutes out";
        Options::command().error(ErrorKind::ArgumentConflict, problem).exit();
    }
    if options.trouble == Some(true) && options.period_minutes.is_some() {
        let problem = "faults last longer than the periods of a testing network: leave --trouble out";
        Options::command().error(ErrorKind::ArgumentConflict, problem).exit();
    }
    match options.tors {
        Some(tors) => run_tors(&options, tors.get()),
        None => hunt(&options),
    }
}

/// Runs one seed after the other.
fn hunt(options: &Options) -> ExitCode {
    let began = Instant::now();
    let (mut seeds, mut broken) = (0u32, 0u32);
    loop {
        let scenario = options.scenario(options.seed + u64::from(seeds));
        let start = Instant::now();
        let trace = options.trace.filter(|service| *service < scenario.services);
        if options.trace != trace {
            let (seed, last) = (scenario.seed, scenario.services - 1);
            print_line(format_args!("seed {seed}: its services are numbered from 0 to {last}"));
        }
        let trace = trace.map(|service| Trace::new(service, |line| print_line(line)));
        let line = match watch(scenario.clone(), trace) {
            Ok(report) => format!("{report:?}"),
            Err(failure) => {
                broken += 1;
                failure.to_string()
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        print_line(format_args!("seed {}: {seconds:.1} s: {line}", scenario.seed));
        seeds += 1;
        if began.elapsed() >= Duration::from_secs(options.seconds) {
            break;
        }
    }
    print_line(format_args!("{seeds} seeds, {broken} of them broke a promise"));
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the simulations of all tors.
fn run_tors(options: &Options, tors: usize) -> ExitCode {
    let began = Instant::now();
    let shares = tors::shares(&options.scenario(options.seed), tors);
    let count = shares.len();
    let (sum, broken) = tors::run(shares, |line| print_line(line));
    let seconds = began.elapsed().as_secs_f64();
    print_line(format_args!("{count} tors, {broken} of them broke a promise: {seconds:.1} s: {sum:?}"));
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line to the standard output. Ends the program if that fails, without a word if the reader has
/// gone, as in `hunt … | head -1`.
fn print_line(line: impl Display) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = writeln!(io::stderr(), "cannot write to the standard output: {error}");
        }
        process::exit(1);
    }
}
