//! The forms in which findings are shown: for people, for editors, and for programs.

use std::path::Path;

use serde::Serialize;

use super::finding::{Finding, Severity};
use super::live::{Row, Verdict};
use super::table::Table;
use crate::cli::Format;
use crate::plural::count;

/// The findings about a file.
pub(super) struct Screen<'a> {
    pub(super) file: &'a Path,
    pub(super) findings: &'a [Finding],
    /// False: some part of the file could not be judged because of the errors.
    pub(super) is_complete: bool,
    /// The numbers of services and of their backends; `None`: nothing usable is left beside the errors.
    pub(super) counts: Option<(usize, usize)>,
    /// The outcome of the live check; `None` without one.
    pub(super) rows: Option<&'a [Row]>,
    /// The width of the rows, as [`Table::width`] has it.
    pub(super) width: Option<usize>,
}

/// The JSON object. Readers have to skip keys that they do not know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    /// The number of the object's form. It counts up when a key changes its meaning.
    schema: u32,
    file: String,
    errors: usize,
    warnings: usize,
    /// False: there may be more errors.
    complete: bool,
    services: Option<usize>,
    backends: Option<usize>,
    findings: &'a [Finding],
    /// The outcome of the live check, which errors and warnings count, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<&'a [Row]>,
}

impl Screen<'_> {
    /// The findings in this form, with a line end.
    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Text => match self.rows {
                Some(rows) => {
                    let table = Table { file: self.file, width: self.width };
                    format!("{}\n{}\n", table.render(&self.own_row(), rows), self.total())
                }
                None => self.text(),
            },
            Format::Short => {
                let findings = self.lines(|finding| match &finding.remedy {
                    Some(remedy) => format!(": {remedy}"),
                    None => String::new(),
                });
                findings
                    + &self.rows.unwrap_or_default().iter().map(|row| self.line_of(row)).collect::<String>()
            }
            Format::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let lines = self.lines(|finding| match &finding.remedy {
            Some(remedy) => format!("\n    {remedy}"),
            None => String::new(),
        });
        format!("{lines}{}\n", self.verdict())
    }

    /// A line for each finding, with this end.
    fn lines(&self, end: impl Fn(&Finding) -> String) -> String {
        let line = |finding: &Finding| {
            let place = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
            let (file, word) = (self.file.display(), finding.severity.word());
            format!("{file}{place}: {word}: {}{}\n", finding.text, end(finding))
        };
        self.findings.iter().map(line).collect()
    }

    /// The short form of a row; empty for one that is ok.
    fn line_of(&self, row: &Row) -> String {
        let word = match row.verdict {
            Verdict::Ok => return String::new(),
            Verdict::Warning => "warning",
            Verdict::Unknown => "unknown",
            Verdict::Error => "error",
        };
        let place = row.line.map(|line| format!(":{line}")).unwrap_or_default();
        let texts: Vec<&str> =
            [&row.subject, &row.text].into_iter().chain(&row.details).map(String::as_str).collect();
        format!("{}{place}: {word}: {}\n", self.file.display(), texts.join(": "))
    }

    /// The row of the configuration, with all findings in it.
    fn own_row(&self) -> Row {
        let (services, backends) = self.counts.unwrap_or_default();
        let text = format!("{}, {}", count(services, "service"), count(backends, "backend"));
        let verdict = self.findings.iter().map(|finding| finding.severity.into()).max();
        let detail = |finding: &Finding| {
            let place = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            [Some(format!("{place}{}", finding.text)), finding.remedy.clone()]
        };
        let details = self.findings.iter().flat_map(detail).flatten();
        Row { details: details.collect(), ..Row::new(verdict.unwrap_or(Verdict::Ok), "configuration", text) }
    }

    /// The last line of the table.
    fn total(&self) -> String {
        let mut found = self.found();
        match self.rows_with(Verdict::Unknown) {
            0 => {}
            unknown => found.push(format!("{unknown} unknown")),
        }
        if found.is_empty() { "all is well".to_owned() } else { found.join(", ") }
    }

    /// The numbers of errors and of warnings, in words; those of which there are none are left out.
    fn found(&self) -> Vec<String> {
        let found =
            [Severity::Error, Severity::Warning].map(|severity| (self.number(severity), severity.word()));
        found.iter().filter(|(number, _)| *number > 0).map(|(number, word)| count(*number, word)).collect()
    }

    /// The last line.
    fn verdict(&self) -> String {
        let found = self.found();
        if self.number(Severity::Error) > 0 {
            let more =
                if self.is_complete { "" } else { "; check again when they are repaired, there may be more" };
            return format!("{}{more}", found.join(", "));
        }
        let (services, backends) = self.counts.unwrap_or_default();
        let counts = format!("{}, {}", count(services, "service"), count(backends, "backend"));
        let warned = found.first().map(|warnings| format!(", {warnings}")).unwrap_or_default();
        format!("{}: OK ({counts}){warned}", self.file.display())
    }

    fn json(&self) -> String {
        let object = Object {
            schema: 1,
            file: self.file.display().to_string(),
            errors: self.number(Severity::Error),
            warnings: self.number(Severity::Warning),
            complete: self.is_complete,
            services: self.counts.map(|(services, _)| services),
            backends: self.counts.map(|(_, backends)| backends),
            findings: self.findings,
            live: self.rows,
        };
        // Texts and numbers can always be written.
        serde_json::to_string_pretty(&object).unwrap_or_default() + "\n"
    }

    /// The number of findings and rows of this weight.
    fn number(&self, severity: Severity) -> usize {
        let findings = self.findings.iter().filter(|finding| finding.severity == severity).count();
        findings + self.rows_with(severity.into())
    }

    fn rows_with(&self, verdict: Verdict) -> usize {
        self.rows.unwrap_or_default().iter().filter(|row| row.verdict == verdict).count()
    }
}
