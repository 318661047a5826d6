//! The results of all faults, in one table.

use std::fmt::Write as _;
use std::fs;
use std::io::{Write as _, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use onionbalance_tests::paths::BuildPaths;
use onionbalance_tests::traffic::{Tally, Visit, Visits};

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

struct Row {
    /// The name of the fault.
    fault: &'static str,
    /// The description of the fault.
    what: String,
    frontend: Tally,
    direct: Tally,
    healed: Option<Duration>,
    /// The failures of visits.
    failures: Vec<String>,
}

/// Adds a row to the table. `healed` is the time until everything was published again; `None`: nothing had to
/// be published.
pub(crate) fn note(fault: &'static str, what: impl Into<String>, visits: &Visits, healed: Option<Duration>) {
    let (frontend, direct) = (Tally::of(&visits.frontend), Tally::of(&visits.direct));
    let failures = visits.frontend.iter().chain(&visits.direct).filter_map(failure).collect();
    let row = Row { fault, what: what.into(), frontend, direct, healed, failures };
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// The reason of a failed visit.
fn failure(visit: &Visit) -> Option<String> {
    let spoiled = if visit.spoiled { ", as a time period began" } else { "" };
    visit.answer.as_ref().err().map(|reason| format!("{reason}{spoiled}"))
}

/// Prints the table with the faults in this order, and with the reasons of all failures, and writes it to
/// `target/faults.md`.
pub(crate) fn finish<'a>(order: impl Iterator<Item = &'a str>) -> Result<()> {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    if rows.is_empty() {
        // With `--list` there are no results, and no other output is allowed.
        return Ok(());
    }
    let mut table = String::from(HEAD);
    let rows_of = |fault| rows.iter().filter(move |row| row.fault == fault);
    for row in order.flat_map(rows_of) {
        let healed = row.healed.map_or("–".to_owned(), seconds);
        let (frontend, direct) = (cells(&row.frontend), cells(&row.direct));
        writeln!(table, "| {} | {frontend} | {direct} | {healed} |", row.what)?;
    }
    for (row, failure) in rows.iter().flat_map(|row| row.failures.iter().map(move |failure| (row, failure))) {
        writeln!(table, "- {}: {failure}", row.what)?;
    }
    fs::write(BuildPaths::find()?.target.join("faults.md"), &table)?;
    Ok(writeln!(stdout(), "{table}")?)
}

const HEAD: &str = "\
| fault | failed / visits | p50 | p90 | longest | directly: failed / visits | p50 | p90 | longest | healed after |
|---|---|---|---|---|---|---|---|---|---|
";

fn cells(tally: &Tally) -> String {
    let times = [50, 90, 100].map(|hundredths| tally.percentile(hundredths).map_or("–".to_owned(), seconds));
    format!("{} / {} | {}", tally.failed, tally.total, times.join(" | "))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
