//! `cargo counts`: see the library for what is counted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::Arg;
use onionbalance_counts::counts::{Counts, LISTS, List};
use onionbalance_counts::report::report;
use onionbalance_counts::workspace::{self, Package};
use onionbalance_counts::{arrows, citations};

const USAGE: &str = "\
usage: cargo counts [--list LIST | --arrows | --spec-map]

Without options: the counts of each package. They gate nothing.
  --list LIST  the places behind a count: clauses, tiny, long, silent, unsafe, circles, files or functions
  --arrows     the list of arrows between modules for ARCHITECTURE.md
  --spec-map   docs/spec-map.md: where sections of specifications and functions of tor are cited
";

/// The task that the command line names.
enum Task {
    Counts,
    Places(List),
    Arrows,
    SpecMap,
    Help,
}

fn main() -> ExitCode {
    let text = parse(&mut lexopt::Parser::from_env()).and_then(|task| run(&task));
    match text.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &mut lexopt::Parser) -> Result<Task> {
    let task = match arguments.next()? {
        None => return Ok(Task::Counts),
        Some(Arg::Long("list")) => {
            let name = arguments.value()?;
            let list = LISTS.iter().find(|(known, _)| *known == name).map(|&(_, list)| list);
            Task::Places(list.with_context(|| format!("there is no list {name:?}; see --help"))?)
        }
        Some(Arg::Long("arrows")) => Task::Arrows,
        Some(Arg::Long("spec-map")) => Task::SpecMap,
        Some(Arg::Long("help") | Arg::Short('h')) => Task::Help,
        Some(other) => return Err(other.unexpected().into()),
    };
    match arguments.next()? {
        None => Ok(task),
        Some(other) => bail!("{}: one option at a time", other.unexpected()),
    }
}

fn run(task: &Task) -> Result<String> {
    let root = workspace::root();
    Ok(match task {
        Task::Help => USAGE.into(),
        Task::Arrows => arrows::List::of(&workspace::read(root)?).write(),
        Task::SpecMap => citations::document(&workspace::read(root)?),
        Task::Counts => report(&rows(root, &workspace::read(root)?)?),
        Task::Places(list) => {
            let rows = rows(root, &workspace::read(root)?)?;
            let (_, all) = rows.last().context("there are no packages")?;
            all.places(*list).iter().flat_map(|place| [place, "\n"]).collect()
        }
    })
}

/// A row for each package, one for those that are delivered, and last the one of all together.
fn rows(root: &Path, packages: &[Package]) -> Result<Vec<(String, Counts)>> {
    let style = fs::read_to_string(root.join("rustfmt.toml")).context("reading rustfmt.toml")?;
    let max_width = style.lines().find_map(|line| line.strip_prefix("max_width = "));
    let max_width = max_width.context("rustfmt.toml has no max_width")?.parse().context("max_width")?;
    let libraries: BTreeSet<String> = packages.iter().map(|package| package.library.clone()).collect();
    let (mut delivered, mut all) = (Counts::default(), Counts::default());
    let mut rows = Vec::new();
    for package in packages {
        let counts = Counts::of(package, max_width, &libraries);
        if package.is_delivered() {
            delivered = delivered.plus(&counts);
        }
        all = all.plus(&counts);
        rows.push((package.folder.clone(), counts));
    }
    rows.extend([("delivered".into(), delivered), ("all".into(), all)]);
    Ok(rows)
}

/// Prints; a reader such as `head` may have gone before the end.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("printing"),
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "the one place for errors")]
fn complain(error: &anyhow::Error) {
    eprintln!("counts: {error:#}");
}
