//! The forms in which findings are shown: for people, for editors, and for programs.

use std::path::Path;

use serde::Serialize;

use super::finding::{Finding, Severity};
use crate::cli::Format;

/// The findings about a file.
pub(super) struct Screen<'a> {
    pub(super) file: &'a Path,
    pub(super) findings: &'a [Finding],
    /// False: some part of the file could not be judged because of the errors.
    pub(super) is_complete: bool,
    /// The numbers of services and of their backends; `None`: nothing usable is left beside the errors.
    pub(super) counts: Option<(usize, usize)>,
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
}

impl Screen<'_> {
    /// The findings in this form, with a line end.
    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Short => self.lines(|finding| match &finding.remedy {
                Some(remedy) => format!(": {remedy}"),
                None => String::new(),
            }),
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

    /// The last line.
    fn verdict(&self) -> String {
        let (errors, warnings) = (self.number(Severity::Error), self.number(Severity::Warning));
        let found = [(errors, "error"), (warnings, "warning")];
        let found: Vec<String> = found
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| count(*number, word))
            .collect();
        if errors > 0 {
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
        };
        // Texts and numbers can always be written.
        serde_json::to_string_pretty(&object).unwrap_or_default() + "\n"
    }

    fn number(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// A number of things, in words.
fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
