//! `onionbalance status`: asks a running balancer for its status, and shows it to a person.

mod ask;
mod page;
mod screen;
mod watch;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use self::ask::{AskError, Status, ask};
use self::screen::{Look, Screen};
use crate::cli::StatusOptions;
use crate::status::{Health, Report, metrics};

/// The exit status if the status cannot be told: that of a monitoring plugin for *unknown*.
const UNKNOWN: u8 = 3;
/// The time between two questions of `--wait`.
const AGAIN: Duration = Duration::from_secs(1);

/// Shows the status, and returns the exit status of the process.
pub fn run(options: &StatusOptions) -> ExitCode {
    let outcome = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(show(options)),
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // A reader who has closed the pipe has seen enough.
        Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(UNKNOWN),
        Err(problem) => {
            // Nothing is left to report it to if this fails.
            let _ = writeln!(io::stderr(), "onionbalance status: {problem}");
            ExitCode::from(UNKNOWN)
        }
    }
}

async fn show(options: &StatusOptions) -> io::Result<u8> {
    let look = Look::new(options.color, options.full);
    if let Some(seconds) = options.watch {
        return watch::watch(options, look, Duration::from_secs(seconds.into())).await;
    }
    let answer = match options.wait {
        Some(seconds) => wait(options, Duration::from_secs(seconds.into())).await,
        None => ask(options).await,
    };
    if let Some(file) = &options.form.output {
        return replace(file, &text(options, look, &answer)).map(|()| 0);
    }
    if let (Some(file), Ok(status)) = (&options.page.html, &answer) {
        write_page(file, options.page.redact, &status.report)?;
        return Ok(exit_status(options, &answer));
    }
    if options.alive {
        return Ok(if answer.is_ok() { 0 } else { UNKNOWN });
    }
    if !options.quiet {
        print(options, look, &answer)?;
    }
    Ok(exit_status(options, &answer))
}

/// Asks again and again until all is ok, and returns the last answer after `longest`.
async fn wait(options: &StatusOptions, longest: Duration) -> Result<Status, AskError> {
    let until = Instant::now() + longest;
    loop {
        let answer = ask(options).await;
        let is_ok = answer.as_ref().is_ok_and(|status| health(options, &status.report) == Some(Health::Ok));
        if is_ok || Instant::now() + AGAIN > until {
            return answer;
        }
        sleep(AGAIN).await;
    }
}

fn print(options: &StatusOptions, look: Look, answer: &Result<Status, AskError>) -> io::Result<()> {
    let text = text(options, look, answer);
    if (options.form.json || options.page.html.is_some()) && answer.is_err() {
        // Nothing but JSON or HTML is for the program that reads standard output.
        return io::stderr().write_all(text.as_bytes());
    }
    write_out(&text)
}

/// Replaces a file as a whole: a collector that reads it never finds a part.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let about =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", file.display()));
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, file)).map_err(about)
}

fn text(options: &StatusOptions, look: Look, answer: &Result<Status, AskError>) -> String {
    match answer {
        _ if options.form.prometheus => {
            metrics::render(answer.as_ref().ok().map(|status| &status.report), options.form.addresses)
        }
        Ok(status) if options.form.json => status.text.clone(),
        Ok(status) => Screen::new(look, &status.report).of(options.service.as_deref()),
        Err(error) => look.unknown(error),
    }
}

/// Writes the page of a report to a file, or to standard output for `-`.
fn write_page(file: &Path, is_redacted: bool, report: &Report) -> io::Result<()> {
    let page = if is_redacted {
        let redacted = page::redacted(report);
        page::render(
            &redacted.map_err(|error| io::Error::other(format!("cannot redact the status: {error}")))?,
        )
    } else {
        page::render(report)
    };
    if file == Path::new("-") { write_out(&page) } else { replace(file, &page) }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The exit status for an answer: that of a monitoring plugin.
fn exit_status(options: &StatusOptions, answer: &Result<Status, AskError>) -> u8 {
    match answer.as_ref().ok().and_then(|status| health(options, &status.report)) {
        Some(Health::Ok) => 0,
        Some(Health::Starting | Health::Degraded) => 1,
        Some(Health::Down) => 2,
        None => UNKNOWN,
    }
}

/// The health of all that is asked for; `None` if there is no such service.
fn health(options: &StatusOptions, report: &Report) -> Option<Health> {
    match &options.service {
        Some(wanted) => report.service(wanted).map(|service| service.health),
        None => Some(report.health),
    }
}
