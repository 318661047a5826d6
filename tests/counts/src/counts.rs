//! The counts of each package and their totals, with the places behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use crate::comments::{self, Kind};
use crate::graph::{Circle, Graph};
use crate::items::Items;
use crate::language;
use crate::source::Source;
use crate::workspace::Package;

/// All lists, each with its name on the command line.
pub const LISTS: [(&str, List); 8] = [
    ("clauses", List::Clauses),
    ("tiny", List::Tiny),
    ("long", List::Long),
    ("silent", List::Silent),
    ("unsafe", List::Unsafe),
    ("circles", List::Circles),
    ("files", List::Files),
    ("functions", List::Functions),
];

/// A list of places.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum List {
    /// Sentences with a clause as their subject.
    Clauses,
    /// Documentation of one or two words.
    Tiny,
    /// Lines of documentation that are longer than rustfmt's `max_width`.
    Long,
    /// Public functions that return a `Result` and do not say when they fail.
    Silent,
    /// Blocks of `unsafe` code.
    Unsafe,
    /// Circles between modules.
    Circles,
    /// Files of delivered code, the longest first.
    Files,
    /// Functions, the longest first.
    Functions,
}

/// Everything that is counted of some files.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Lines of code in each file, tests excepted; files with tests only are left out.
    pub(crate) files: Vec<usize>,
    /// Lines of code in tests.
    pub(crate) test_code: usize,
    /// Lines of each function outside of tests.
    pub(crate) functions: Vec<usize>,
    /// Lines with a comment, tests included.
    pub(crate) comments: usize,
    /// Lines of code and comments outside of tests, and those of them that document something public.
    pub(crate) documented: (usize, usize),
    pub(crate) fallible: usize,
    pub(crate) circles: usize,
    pub(crate) hidden_circles: usize,
    /// The entries of each list: a place and what is there, as text.
    places: BTreeMap<List, Vec<String>>,
}

impl Counts {
    /// Counts one package; `max_width` is rustfmt's, `libraries` are those of the repository.
    pub fn of(package: &Package, max_width: usize, libraries: &BTreeSet<String>) -> Self {
        let mut counts = Self::default();
        for source in &package.sources {
            counts.add_code(source);
            counts.add_comments(source, max_width);
            if !source.is_test {
                counts.add_items(source);
            }
        }
        let graph = Graph::of(package, libraries);
        let (circles, hidden) = (graph.circles(), graph.hidden_circles());
        (counts.circles, counts.hidden_circles) = (circles.len(), hidden.len());
        let lines = circles.iter().map(|circle| (circle, ""));
        for (Circle { parent, members }, kind) in
            lines.chain(hidden.iter().map(|circle| (circle, " ↔ itself")))
        {
            let parent = [slice::from_ref(&package.folder), parent].concat().join("::");
            counts.add_place(List::Circles, format!("{parent}: {}{kind}", members.join(" ↔ ")));
        }
        counts
    }

    /// The counts of both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.files.extend(&other.files);
        self.test_code += other.test_code;
        self.functions.extend(&other.functions);
        self.comments += other.comments;
        self.documented.0 += other.documented.0;
        self.documented.1 += other.documented.1;
        self.fallible += other.fallible;
        self.circles += other.circles;
        self.hidden_circles += other.hidden_circles;
        for (&list, places) in &other.places {
            self.places.entry(list).or_default().extend_from_slice(places);
        }
        self
    }

    /// The places of one list, ordered by path, or by length.
    pub fn places(&self, list: List) -> Vec<&str> {
        let mut places: Vec<&str> =
            self.places.get(&list).into_iter().flatten().map(String::as_str).collect();
        if matches!(list, List::Files | List::Functions) {
            places.sort_by(|a, b| b.cmp(a));
        }
        places
    }

    fn add_place(&mut self, list: List, place: String) {
        self.places.entry(list).or_default().push(place);
    }

    /// The length of one list.
    pub fn number(&self, list: List) -> usize {
        self.places.get(&list).map_or(0, Vec::len)
    }

    fn add_code(&mut self, source: &Source) {
        if source.is_test {
            self.test_code += source.code.len();
            return;
        }
        self.test_code += source.code.len() - source.product.len();
        self.files.push(source.product.len());
        self.add_place(List::Files, format!("{:5} {}", source.product.len(), source.path));
    }

    fn add_comments(&mut self, source: &Source, max_width: usize) {
        self.comments += source.comments.len();
        let mut clauses = BTreeMap::new();
        for block in comments::blocks(&source.comments) {
            for sentence in language::sentences(block) {
                if sentence.has_clause_as_subject() {
                    clauses.entry(sentence.line).or_insert(sentence.text);
                }
            }
            let Some(first) = block.first().filter(|first| first.kind != Kind::Plain) else { continue };
            if language::is_tiny(block) {
                self.add_place(List::Tiny, format!("{}:{}: {}", source.path, first.line, first.text.trim()));
            }
            for long in block.iter().filter(|comment| comment.width > max_width) {
                self.add_place(List::Long, format!("{}:{}: {}", source.path, long.line, long.width));
            }
        }
        for (line, text) in clauses {
            self.add_place(List::Clauses, format!("{}:{line}: {text}", source.path));
        }
    }

    fn add_items(&mut self, source: &Source) {
        let items = Items::of(&source.syntax);
        let comments = source.comments.iter().filter(|comment| !source.code.contains(&comment.line)).count();
        self.documented.0 += items.public_docs;
        self.documented.1 += source.product.len() + comments;
        self.fallible += items.fallible.len();
        for silent in items.fallible.iter().filter(|function| !function.says_when) {
            self.add_place(List::Silent, format!("{}:{}: {}", source.path, silent.line, silent.name));
        }
        for line in items.unsafe_blocks {
            self.add_place(List::Unsafe, format!("{}:{line}", source.path));
        }
        for function in items.functions {
            self.functions.push(function.length);
            let place = format!("{:5} {}:{}: {}", function.length, source.path, function.line, function.name);
            self.add_place(List::Functions, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_package() {
        let text = "//! Whose it is.\n\n/// Tiny.\npub fn a() -> Result<(), E> {\n    b()\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::parse("x", "x/src/lib.rs", text).unwrap();
        let tested = Source::parse("x", "x/tests/t.rs", "// What is this?\nfn t() {}\n").unwrap();
        let package = Package { folder: "x".into(), library: "x".into(), sources: vec![source, tested] };
        let counts = Counts::of(&package, 15, &BTreeSet::new());
        assert_eq!((&counts.files[..], counts.test_code, &counts.functions[..]), (&[3][..], 4, &[3][..]));
        assert_eq!(counts.places(List::Clauses), ["x/src/lib.rs:1: Whose it is."]);
        assert_eq!(counts.places(List::Tiny), ["x/src/lib.rs:3: Tiny."]);
        assert_eq!(counts.places(List::Long), ["x/src/lib.rs:1: 16"]);
        assert_eq!(counts.places(List::Silent), ["x/src/lib.rs:4: a"]);
        assert_eq!((counts.comments, counts.documented, counts.fallible), (3, (2, 5), 1));
        let twice = counts.clone().plus(&counts);
        assert_eq!((twice.files.len(), twice.comments, twice.number(List::Tiny)), (2, 6, 2));
    }
}
