//! The list of arrows in ARCHITECTURE.md: which package uses which, and which of a package's top modules uses
//! which.
//!
//! A line at the margin is a package with the packages that it uses, an indented line a module of it with the
//! modules that it uses. A module that uses nothing has no line. `lib` is the library's root itself.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::graph::{self, Graph};
use crate::scope::Module;
use crate::workspace::Package;

/// The name of a library's root in the list.
const ROOT: &str = "lib";

/// The first and the last line around the list in a document.
const FENCES: [&str; 2] = ["```arrows\n", "```\n"];

/// The indentation of a module's line.
const INDENTATION: &str = "    ";

/// The sign between the modules of a circle.
const CIRCLE: &str = " ↔ ";

/// The arrows that start at one module or package: from it, to all of these.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// All arrows of the delivered packages.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct List {
    /// From each package's folder to the folders of the packages that it uses.
    packages: Arrows,
    /// By the package's folder, from top module to top module.
    modules: BTreeMap<String, Arrows>,
}

impl List {
    /// The arrows that the sources have.
    pub fn of(packages: &[Package]) -> Self {
        let folders: BTreeMap<&str, &str> =
            packages.iter().map(|package| (package.library.as_str(), package.folder.as_str())).collect();
        let libraries = folders.keys().map(|&library| library.into()).collect();
        let mut list = Self::default();
        for package in packages.iter().filter(|package| package.is_delivered()) {
            let graph = Graph::of(package, &libraries);
            let used = graph.libraries.values().flatten().filter_map(|library| folders.get(library.as_str()));
            list.packages.insert(package.folder.clone(), used.map(|&folder| folder.into()).collect());
            let modules = list.modules.entry(package.folder.clone()).or_default();
            for arrow in graph.arrows.keys() {
                let (from, to) = (top(&arrow.from), top(&arrow.to));
                if from != to {
                    modules.entry(from).or_default().insert(to);
                }
            }
        }
        list
    }

    /// Reads the list from a document. Fails if it has none, or a line that is no arrow.
    pub fn parse(document: &str) -> Result<Self> {
        let mut list = Self::default();
        let mut folder = String::new();
        for line in block(document)?.lines().filter(|line| !line.contains(CIRCLE)) {
            let (from, to) = line.split_once('→').unwrap_or((line, ""));
            let to =
                to.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
            let name = from.trim().to_owned();
            if from.starts_with(' ') {
                let modules = list.modules.get_mut(&folder);
                modules.with_context(|| format!("{name} comes before a package"))?.insert(name, to);
            } else {
                folder.clone_from(&name);
                list.packages.insert(name.clone(), to);
                list.modules.insert(name, Arrows::new());
            }
        }
        Ok(list)
    }

    /// The list as it is written in a document, without the fences.
    pub fn write(&self) -> String {
        let mut text = String::new();
        let mut add = |indentation: &str, line: &str| {
            for part in [indentation, line, "\n"] {
                text.push_str(part);
            }
        };
        let joined = |from: &str, to: &BTreeSet<String>| {
            let to = to.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("{from} → {to}")
        };
        for (folder, used) in &self.packages {
            add("", joined(folder, used).trim_end_matches(" → "));
            for (from, to) in self.modules.get(folder).into_iter().flatten() {
                add(INDENTATION, &joined(from, to));
            }
            for circle in self.modules.get(folder).into_iter().flat_map(circles) {
                add(INDENTATION, &circle);
            }
        }
        text
    }

    /// The arrows that this list has and the other one lacks, as text.
    pub fn without(&self, other: &Self) -> Vec<String> {
        let all = |list: &Self| {
            let packages = list.packages.iter().map(|(from, to)| (String::new(), from.clone(), to.clone()));
            let modules = list.modules.iter().flat_map(|(folder, arrows)| {
                arrows.iter().map(move |(from, to)| (format!("{folder}: "), from.clone(), to.clone()))
            });
            let arrows = packages
                .chain(modules)
                .flat_map(|(of, from, to)| to.into_iter().map(move |to| format!("{of}{from} → {to}")));
            arrows.collect::<BTreeSet<String>>()
        };
        all(self).difference(&all(other)).cloned().collect()
    }
}

/// The text of the list in a document, between its fences. Fails if there is none.
pub fn block(document: &str) -> Result<&str> {
    let [start, end] = FENCES;
    let (_, text) = document.split_once(start).context("there is no list of arrows")?;
    let (text, _) = text.split_once(end).context("the list of arrows has no end")?;
    Ok(text)
}

/// The circles between a package's top modules, without those through the library's root.
fn circles(arrows: &Arrows) -> Vec<String> {
    let pairs = arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.clone(), to.clone())));
    let pairs = pairs.filter(|(from, to)| from != ROOT && to != ROOT).map(|pair| (pair, ()));
    graph::circles(&pairs.collect()).iter().map(|members| members.join(CIRCLE)).collect()
}

fn top(module: &Module) -> String {
    module.first().map_or_else(|| ROOT.into(), Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn list() -> List {
        let package = |folder: &str, library: &str, files: &[(&str, &str)]| Package {
            folder: folder.into(),
            library: library.into(),
            sources: files
                .iter()
                .map(|(path, text)| Source::parse(folder, &format!("{folder}/{path}"), text).unwrap())
                .collect(),
        };
        List::of(&[
            package(
                "one",
                "first",
                &[
                    ("src/lib.rs", "mod a; mod b;"),
                    ("src/a.rs", "use crate::b::B; use second::C; use crate::D;"),
                    ("src/b.rs", "use crate::a::A;"),
                ],
            ),
            package("two", "second", &[("src/lib.rs", "pub struct C;")]),
            package("tests", "third", &[("src/lib.rs", "use first::A;")]),
        ])
    }

    #[test]
    fn lists_and_reads_back() {
        let list = list();
        let text = list.write();
        assert_eq!(text, "one → two\n    a → b, lib\n    b → a\n    a ↔ b\ntwo\n");
        assert_eq!(List::parse(&format!("Words.\n\n```arrows\n{text}```\n")).unwrap(), list);
    }

    #[test]
    fn tells_missing_from_superfluous_arrows() {
        let written = List::parse("```arrows\none → two\n    a → lib\n    b → a, c\ntwo\n```\n").unwrap();
        assert_eq!(list().without(&written), ["one: a → b"]);
        assert_eq!(written.without(&list()), ["one: b → c"]);
    }

    #[test]
    fn refuses_a_document_without_a_list() {
        for text in ["", "```arrows\nno end", "```arrows\n  a → b\n```\n"] {
            assert!(List::parse(text).is_err(), "{text}");
        }
    }
}
