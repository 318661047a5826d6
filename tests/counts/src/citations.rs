//! Citations of specifications and of tor's code in comments, and the table of them in docs/spec-map.md.
//!
//! They have these forms: `rend-spec-v3 [TIME-PERIODS]`, `rend-spec-v2 §2.1, §2.2`, `rend-spec-v3 appendix
//! F`, `proposal 324`, and ``tor: `hs_get_time_period_num`, `get_time_period_length` `` for functions or
//! files of tor. rustdoc wants a backslash before each bracket.

use std::collections::{BTreeMap, BTreeSet};

use crate::comments;
use crate::source::Source;
use crate::workspace::Package;

/// The parts of the table: a heading, and the word that begins each citation in it.
const WORKS: [(&str, &str); 4] = [
    ("rend-spec-v3", "rend-spec-v3"),
    ("rend-spec-v2", "rend-spec-v2"),
    ("Proposals", "proposal"),
    ("Code of tor", "tor:"),
];

/// The section of a citation that names none.
const WHOLE: &str = "(the whole)";

/// The folder of this package, whose comments show the forms and cite nothing.
const OWN: &str = "tests/counts";

/// The files that cite one section, each with the answer to whether it is a test or has some.
type Files = BTreeMap<String, Tests>;

/// The tests that a citing file has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tests {
    None,
    /// The file has a module with tests.
    Own,
    /// The file is a test.
    All,
}

/// The text above the tables.
const HEAD: &str = "\
# Specifications and tor's code

The files that cite each section of a specification, and each function, constant or file of tor that they follow or expect.
*Tested in* names the tests that cite it, and the citing files with tests of their own. `cargo counts --spec-map`
prints this document; a test keeps it true.
";

/// The document with one table for each work, in order of sections.
pub fn document(packages: &[Package]) -> String {
    let mut tables: BTreeMap<&str, BTreeMap<String, Files>> = BTreeMap::new();
    for package in packages.iter().filter(|package| package.folder != OWN) {
        for source in &package.sources {
            for (work, section) in citations(source) {
                let files = tables.entry(work).or_default().entry(section).or_default();
                files.insert(source.path.clone(), tests(source));
            }
        }
    }
    let mut parts = vec![HEAD.to_owned()];
    for (heading, work) in WORKS {
        parts.push(format!("\n## {heading}\n\n| name | cited in | tested in |\n|---|---|---|\n"));
        parts.extend(tables.get(work).into_iter().flatten().map(|(section, files)| row(section, files)));
    }
    parts.concat()
}

/// A row of a table.
fn row(section: &str, files: &Files) -> String {
    let names = |is_wanted: &dyn Fn(Tests) -> bool| {
        let files = files.iter().filter(|&(_, &tests)| is_wanted(tests));
        files.map(|(file, _)| format!("`{file}`")).collect::<Vec<_>>().join(", ")
    };
    let (code, tests) = (names(&|tests| tests != Tests::All), names(&|tests| tests != Tests::None));
    format!("| {section} | {code} | {tests} |\n")
}

/// All citations in a file's comments: the word that begins each, and the section.
fn citations(source: &Source) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for block in comments::blocks(&source.comments) {
        let text = block.iter().map(|comment| comment.text.trim()).collect::<Vec<_>>().join(" ");
        for (_, work) in WORKS {
            for (start, _) in text.match_indices(work) {
                let Some((before, from)) = text.split_at_checked(start) else { continue };
                // Not where a longer word ends with it, as "descriptor:" does.
                if before.ends_with(char::is_alphanumeric) {
                    continue;
                }
                let sections = sections(from.trim_start_matches(work));
                if sections.is_empty() && work.starts_with("rend-spec") {
                    found.insert((work, WHOLE.into()));
                }
                found.extend(sections.into_iter().map(|section| (work, section)));
            }
        }
    }
    found
}

/// The sections behind the name of a work: as many as follow one another with commas or semicolons between
/// them.
fn sections(text: &str) -> Vec<String> {
    let mut sections = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while let Some((section, after)) = section(rest) {
        sections.push(section);
        rest = match after.strip_prefix([',', ';']) {
            Some(more) => more.trim_start(),
            None => break,
        };
    }
    sections
}

/// One section at the start of a text, and the text after it.
fn section(text: &str) -> Option<(String, &str)> {
    let bracketed = text.strip_prefix("\\[").or_else(|| text.strip_prefix('['));
    if let Some((name, after)) = bracketed.and_then(|inner| inner.split_once(']')) {
        return Some((format!("[{}]", name.trim_end_matches('\\')), after));
    }
    if let Some((name, after)) = text.strip_prefix('`').and_then(|inner| inner.split_once('`')) {
        return name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.".contains(c))
            .then(|| (format!("`{name}`"), after));
    }
    let prefix =
        ["§", "appendix "].iter().find(|prefix| text.starts_with(**prefix)).copied().unwrap_or_default();
    let rest = text.strip_prefix(prefix)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
    let (number, after) = rest.split_at_checked(end)?;
    let number = number.trim_end_matches('.');
    let is_number = !prefix.is_empty() || number.starts_with(|c: char| c.is_ascii_digit());
    (is_number && !number.is_empty()).then(|| (format!("{prefix}{number}"), after))
}

fn tests(source: &Source) -> Tests {
    match source {
        source if source.is_test => Tests::All,
        source if source.test_modules.is_empty() => Tests::None,
        _ => Tests::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_of_each_form() {
        for (text, expected) in [
            (" \\[TIME-PERIODS\\]).", &["[TIME-PERIODS]"][..]),
            (" §2.1, §2.2): AES", &["§2.1", "§2.2"]),
            (", appendix F).", &["appendix F"]),
            (" 324; rend-spec-v3 [A]", &["324"]),
            (" `one_function`, `two.c`; `three`) and `no`", &["`one_function`", "`two.c`", "`three`"]),
            (") in words.", &[]),
            (" the network", &[]),
        ] {
            assert_eq!(sections(text), expected, "{text}");
        }
    }

    #[test]
    fn finds_citations_over_line_ends() {
        let text = "//! As the specification has it (rend-spec-v3\n//! \\[SUBCRED\\]; proposal 324).\n\n// As tor does (tor: `a_b`,\n// `c_d`).\n\n// Of a descriptor: 180.\n";
        let source = Source::parse("x", "x/src/lib.rs", text).unwrap();
        let found: Vec<_> = citations(&source).into_iter().collect();
        let expected =
            [("proposal", "324"), ("rend-spec-v3", "[SUBCRED]"), ("tor:", "`a_b`"), ("tor:", "`c_d`")];
        assert_eq!(found, expected.map(|(work, section)| (work, section.to_owned())));
    }

    #[test]
    fn tells_code_from_tests() {
        let source = |path: &str, text: &str| Source::parse("x", &format!("x/{path}"), text).unwrap();
        let sources = vec![
            source("src/a.rs", "// rend-spec-v2 §1.3\n#[cfg(test)]\nmod tests {}\n"),
            source("src/b.rs", "// rend-spec-v2 §1.3\n"),
            source("tests/c.rs", "// rend-spec-v2 §1.3\n"),
        ];
        let text = document(&[Package { folder: "x".into(), library: "x".into(), sources }]);
        assert!(
            text.contains("| §1.3 | `x/src/a.rs`, `x/src/b.rs` | `x/src/a.rs`, `x/tests/c.rs` |\n"),
            "{text}"
        );
    }
}
