//! Counts what can be counted in the Rust sources of this repository, and lists which module uses which.
//!
//! `cargo counts` prints the table, `cargo counts --list clauses` the places behind one of its columns. No
//! count gates a change: a number says where to look. Two lists are checked by tests: the [`arrows`] in
//! ARCHITECTURE.md, and the [`citations`] in docs/spec-map.md.
//!
//! [`workspace`] finds the packages and reads each [`source`] file. [`comments`] reads what a parser of Rust
//! drops, [`language`] looks at its sentences, [`items`] visits functions and public items, [`scope`]
//! collects the paths of each module, and [`graph`] resolves them. [`counts`] adds up, [`report`] makes
//! tables of it.

#![forbid(unsafe_code)]
#![expect(clippy::missing_errors_doc, reason = "an error ends the program, in its own words")]

pub mod arrows;
pub mod citations;
pub mod comments;
pub mod counts;
pub mod graph;
pub mod items;
pub mod language;
pub mod report;
pub mod scope;
pub mod source;
pub mod table;
pub mod workspace;
