//! `onionbalance check`: reports what is wrong with a configuration before it is used.
//!
//! The programs refuse an error. They accept a warning, but it does not do what the operator expects. Keys
//! are never opened: that is the signer's work.

mod dump;
mod file;
mod finding;
mod live;
mod machine;
mod owners;
mod screen;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onionbalance_process::BAD_CONFIGURATION;

use self::finding::{Finding, Severity};
use self::live::{Row, Verdict};
use self::screen::Screen;
use super::{CONFIGURATIONS, WIDTH, usual_configuration};
use crate::cli::{CheckOptions, Stage};
use crate::config::{Configuration, Examined};
use crate::lifecycle::Setup;

/// The exit status with `--strict` if there are warnings.
const WARNINGS: u8 = 1;

/// The exit status if the configuration, or a part of the deployment, cannot be judged.
const CANNOT_TELL: u8 = 3;

/// Checks the configuration, prints the findings, and returns the exit status of the process.
pub fn run(options: &CheckOptions) -> ExitCode {
    let (text, status) = match examine(options) {
        Ok(outcome) => outcome,
        Err(Unread { problem, status }) => {
            // Nothing is left to report it to if this fails.
            let _ = writeln!(io::stderr(), "onionbalance check: {problem}");
            return ExitCode::from(status);
        }
    };
    let mut out = io::stdout().lock();
    // A reader who has closed the pipe has seen enough: the exit status has the verdict.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::from(status)
}

/// A configuration that was checked.
struct Checked {
    file: PathBuf,
    findings: Vec<Finding>,
    /// False: some part of the file could not be judged because of the errors.
    is_complete: bool,
    /// The numbers of services and of their backends; `None`: nothing usable is left beside the errors.
    counts: Option<(usize, usize)>,
    /// The outcome of the live check; `None` if it was not asked for, or the configuration has errors.
    rows: Option<Vec<Row>>,
}

/// The reason for which nothing was checked.
struct Unread {
    problem: String,
    /// The exit status.
    status: u8,
}

/// The output and the exit status.
fn examine(options: &CheckOptions) -> Result<(String, u8), Unread> {
    let file = options.config.clone().or_else(usual_configuration).ok_or_else(|| Unread {
        problem: format!("there is neither {}: name the configuration with -c", CONFIGURATIONS.join(" nor ")),
        status: BAD_CONFIGURATION,
    })?;
    let checked = check(&file, options.directory.as_deref(), options.stage).map_err(|error| Unread {
        problem: format!("cannot read {}: {error}", file.display()),
        status: if error.kind() == io::ErrorKind::PermissionDenied { CANNOT_TELL } else { BAD_CONFIGURATION },
    });
    let (mut checked, configuration) = checked?;
    match configuration.filter(|_| !checked.has_errors()) {
        Some(configuration) if options.dump => {
            return Ok((dump::render(options, &configuration), checked.exit_status(options.strict)));
        }
        Some(configuration) if options.live => {
            let setup = Setup::of(options.balancer(&file), configuration);
            let setup =
                setup.map_err(|error| Unread { problem: error.to_string(), status: BAD_CONFIGURATION })?;
            checked.rows = Some(live::look(options, &setup));
        }
        _ => {}
    }
    let width = io::stdout().is_terminal().then_some(WIDTH);
    Ok((checked.screen(width).render(options.format), checked.exit_status(options.strict)))
}

/// Checks the file at `path`, and what it needs of this machine. Relative paths start from `directory`;
/// `None`: from the file's own. Returns the configuration with the findings; `None` if nothing usable is left
/// beside the errors.
///
/// # Errors
/// The file cannot be read.
fn check(
    path: &Path,
    directory: Option<&Path>,
    stage: Stage,
) -> io::Result<(Checked, Option<Configuration>)> {
    let Examined { errors, is_complete, rest } = Configuration::examine(path, directory)?;
    let mut findings: Vec<Finding> = errors.into_iter().map(Finding::error).collect();
    if let Some(configuration) = &rest {
        let has_errors = !findings.is_empty();
        findings.extend(file::findings(configuration, has_errors));
        findings.extend(machine::findings(configuration, stage));
        findings.extend(owners::findings(configuration));
    }
    findings.sort_by_key(|finding| finding.line);
    let counts = rest.as_ref().map(Configuration::counts);
    Ok((Checked { file: path.to_owned(), findings, is_complete, counts, rows: None }, rest))
}

impl Checked {
    /// The screen, of this width.
    fn screen(&self, width: Option<usize>) -> Screen<'_> {
        let Self { file, findings, is_complete, counts, rows } = self;
        Screen { file, findings, is_complete: *is_complete, counts: *counts, rows: rows.as_deref(), width }
    }

    fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn exit_status(&self, is_strict: bool) -> u8 {
        let findings = self.findings.iter().map(|finding| Verdict::from(finding.severity));
        let rows = self.rows.iter().flatten().map(|row| row.verdict);
        match findings.chain(rows).max() {
            Some(Verdict::Error) => BAD_CONFIGURATION,
            Some(Verdict::Unknown) => CANNOT_TELL,
            Some(Verdict::Warning) if is_strict => WARNINGS,
            Some(Verdict::Warning | Verdict::Ok) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests;
