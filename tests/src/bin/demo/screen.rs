//! The demo's output. No other module of the demo prints.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Error;

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
