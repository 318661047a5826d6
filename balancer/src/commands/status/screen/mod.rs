//! The status on a screen of 80 columns. The verdict comes first and is enough by itself; then come the
//! problems with their remedies, then the parts.
//!
//! It is a pure function of the report and of the look.

mod look;
mod service;
mod table;
#[cfg(test)]
mod tests;

use self::look::Extent;
pub(super) use self::look::Look;
use crate::age::{Age, RoughAge};
use crate::commands::{WIDTH, clean};
use crate::status::{Moment, Problem, Report, Tor};

/// The most services that are shown in full, unless all are asked for.
const IN_FULL: usize = 5;
/// The most problems that are shown, unless all are asked for.
const PROBLEMS: usize = 20;
/// The most services that have a line, unless all are asked for.
const LINES: usize = 100;

/// A report on a screen.
pub(super) struct Screen<'a> {
    look: Look,
    report: &'a Report,
}

impl<'a> Screen<'a> {
    /// The screen of a report.
    pub(super) fn new(look: Look, report: &'a Report) -> Self {
        Self { look, report }
    }

    /// The screen with everything, or with the service of this name or address.
    pub(super) fn of(&self, service: Option<&str>) -> String {
        let Some(wanted) = service else { return self.everything() };
        let Some(service) = self.report.service(wanted) else { return self.no_service(wanted) };
        let concerns = |problem: &&Problem| {
            problem.service.as_ref().is_none_or(|address| *address == service.onion_address)
        };
        let problems: Vec<&Problem> = self.report.problems.iter().filter(concerns).collect();
        let dot = self.look.dot(Some(service.health));
        let verdict = format!("{dot} {}: {}\n", clean(service.label()), service.health);
        verdict + &sections([self.problems(&problems), self.service(service)])
    }

    fn no_service(&self, wanted: &str) -> String {
        let names = self.report.services.iter().take(PROBLEMS).map(|service| clean(service.label()));
        let names = names.collect::<Vec<_>>().join(", ");
        let verdict = format!("{} unknown: there is no service {}", self.look.dot(None), clean(wanted));
        format!("{verdict}\n  the services are: {names}\n")
    }

    fn everything(&self) -> String {
        let Report { problems, services, .. } = self.report;
        let problems: Vec<&Problem> = problems.iter().collect();
        let services = if services.len() <= IN_FULL || self.look.extent == Extent::Everything {
            services.iter().map(|service| self.service(service)).collect::<Vec<_>>().join("\n")
        } else {
            self.services(if self.look.extent == Extent::Screen { LINES } else { services.len() })
        };
        self.head() + &sections([self.problems(&problems), self.parts(), services])
    }

    /// The verdict; at the end of the line the balancer's age and version.
    fn head(&self) -> String {
        let Report { version, started_at, health, summary, .. } = self.report;
        let (summary, up) = (clean(summary), format!("up {}, {}", self.ago(*started_at), clean(version)));
        let room = WIDTH.saturating_sub(2 + summary.chars().count());
        let dot = self.look.dot(Some(*health));
        if room > up.chars().count() {
            format!("{dot} {summary}{up:>room$}\n")
        } else if self.look.extent != Extent::Screen {
            format!("{dot} {summary}  {up}\n")
        } else {
            // The problem follows in full.
            let cut: String = summary.chars().take(WIDTH - 3).collect();
            let more = if cut.len() < summary.len() { self.cut() } else { "" };
            format!("{dot} {cut}{more}\n")
        }
    }

    fn cut(&self) -> &'static str {
        if self.look.has_unicode { "…" } else { "." }
    }

    /// The problems, each with its remedy.
    fn problems(&self, problems: &[&Problem]) -> String {
        let most = self.most(problems.len());
        let mut text = String::new();
        for problem in problems.iter().take(most) {
            text += &self.paragraph(&format!("  {} ", self.look.mark(problem.severity)), &problem.text);
            text += &self.paragraph("    ", &problem.remedy);
        }
        text + &more(problems.len().saturating_sub(most))
    }

    /// `text` in lines of the screen's width, after `mark`, which takes four columns.
    fn paragraph(&self, mark: &str, text: &str) -> String {
        let text = clean(text);
        if self.look.extent != Extent::Screen {
            return format!("{mark}{text}\n");
        }
        let (mut lines, mut line) = (mark.to_owned(), 0);
        // Two spaces precede a command.
        for word in text.split(' ') {
            let length = word.chars().count();
            if line > 0 && line + 1 + length > WIDTH - 4 {
                lines = lines.trim_end().to_owned() + "\n    ";
                line = 0;
            } else if line > 0 || word.is_empty() {
                lines.push(' ');
                line += 1;
            }
            lines += word;
            line += length;
        }
        lines + "\n"
    }

    /// The number of problems, or of tors, that are shown of `all`.
    fn most(&self, all: usize) -> usize {
        if self.look.extent == Extent::Everything { all } else { PROBLEMS.min(all) }
    }

    /// The tors and the signer.
    fn parts(&self) -> String {
        let Report { tors, signer, .. } = self.report;
        let most = self.most(tors.len());
        let tor = |tor: &Tor| {
            let state = format!("{} {}", tor.access(), self.ago(tor.since));
            let about: Vec<_> = [tor.control_ports.join(" or ")].into_iter().chain(tor.facts()).collect();
            ["  tor      ", &format!("{state:<22} "), &clean(&about.join(", ")), "\n"].concat()
        };
        let text: String = tors.iter().take(most).map(tor).collect();
        let text = text + &more(tors.len().saturating_sub(most));
        text + &match (signer.connected, signer.away_since) {
            (true, _) => {
                format!(
                    "  signer   {:<22} {} signed, {} refused\n",
                    "connected", signer.signed, signer.refused
                )
            }
            (false, Some(since)) => format!("  signer   away {}\n", self.ago(since)),
            (false, None) => "  signer   no answer yet\n".to_owned(),
        }
    }

    /// The time from a moment to the report, in words.
    fn ago(&self, moment: Moment) -> String {
        Age(self.report.since(moment)).to_string()
    }

    /// The time from a moment to the report, for a table.
    fn roughly_ago(&self, moment: Moment) -> String {
        format!("{} ago", RoughAge(self.report.since(moment)))
    }

    /// The time from the report to a moment, in words.
    fn until(&self, moment: Moment) -> String {
        Age(self.report.until(moment)).to_string()
    }
}

/// The line in place of `left` others; empty if there are none.
fn more(left: usize) -> String {
    if left == 0 { String::new() } else { format!("    and {left} more: --full shows all\n") }
}

/// Those of these sections that are not empty, each after an empty line.
fn sections<const N: usize>(sections: [String; N]) -> String {
    sections
        .into_iter()
        .filter(|section| !section.is_empty())
        .flat_map(|section| ["\n".to_owned(), section])
        .collect()
}
