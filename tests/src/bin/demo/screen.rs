//! The demo's output. No other module of the demo prints.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Error;

use onionbalance_tests::network::Network;
use onionbalance_tests::programs::Programs;

use crate::frontend::{Config, Frontend};
use crate::visits::Visits;

/// The terminal, and the time since the demo's start.
pub(crate) struct Screen {
    started: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// A step on the way, with the time at which it was reached.
    pub(crate) fn stage(&self, what: &str) {
        note(&format!("{:6.1} s  {what}", self.started.elapsed().as_secs_f64()));
    }
}

/// The table of answers, and the times to the network and to the first publication.
pub(crate) fn result(backends: &[String], to_network: Duration, to_publication: Duration, visits: &Visits) {
    note(&format!("\n{:<28}{:>8}{:>8}", "backend", "answers", "share"));
    for name in backends {
        let answers = visits.answers_of(name);
        let share = 100 * answers / visits.count().max(1);
        note(&format!("{name:<28}{answers:>8}{share:>6} %"));
    }
    let times = [
        ("time to network", Some(to_network)),
        ("time to first publication", Some(to_publication)),
        ("time to first page", visits.first_page),
    ];
    note("");
    for (what, time) in times {
        note(&format!("{what:<28}{:>8}", seconds(time)));
    }
    note(&format!(
        "{:<28}{:>8}\n{:<28}{:>8}\n{:<28}{:>8} of {}\n",
        "request time, median",
        seconds(visits.time_of(5)),
        "request time, 90 % within",
        seconds(visits.time_of(9)),
        "failed requests",
        visits.failures.len(),
        visits.count(),
    ));
}

/// The commands to try while everything runs.
pub(crate) fn trials(programs: &Programs, network: &Network, config: &Config, frontend: &Frontend) {
    let (balancer, config) = (programs.balancer.display(), config.file.display());
    let socks = network.client().socks_address();
    let page = format!("curl --proxy socks5h://{socks} http://{}/", frontend.onion);
    note("everything keeps running until Ctrl-C; in another terminal, try\n");
    for (what, command) in [
        ("the status", format!("{balancer} status -c {config}")),
        ("the status, again and again", format!("{balancer} status --watch -c {config}")),
        ("a check of the configuration", format!("{balancer} check -c {config}")),
        ("a visit", page),
        ("the end of a backend", format!("pkill -f {}/", network.directory().join("backend-0").display())),
    ] {
        note(&format!("  {what}\n    {command}"));
    }
    note("");
}

/// Prints a line.
pub(crate) fn note(line: &str) {
    // A closed terminal does not stop the demo.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Prints an error with its causes.
pub(crate) fn failure(error: &Error) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "\nerror: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(stderr, "  because: {cause}");
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}
