//! The engine is broken on purpose, and the simulator has to notice each time.
//!
//! A mutation replaces a text in one of the balancer's files. All mutants are built by one cargo from copies
//! of just those sources that the simulator needs, for one version of onion services, which halves the work
//! of the compiler. Each runs the simulator until that complains, at first with the seed that is known to
//! show what is broken.

mod list;

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use onionbalance_simulator::invariants::Invariant;
use onionbalance_tests::paths::BuildPaths;

use list::{BUSY, CROWD, INTACT, MUTATIONS, Mutation};

/// If the known seed does not show a mutation any more, because the engine or the simulator has changed,
/// these are tried.
const SEEDS: RangeInclusive<u64> = CROWD..=300;

/// The sources that the simulator needs, under `balancer/src`.
const SOURCES: [&str; 8] = [
    "engine",
    "tor/documents",
    "v2/directory.rs",
    "v2/ring.rs",
    "v2/schedule.rs",
    "v3/directory.rs",
    "v3/ring.rs",
    "v3/schedule.rs",
];

/// A program of those sources, under whose names the simulator finds them.
const MAIN: &str = r#"
#![allow(warnings)]
extern crate self as onionbalance;

pub mod engine;
pub mod tor {
    pub mod documents;
}
pub mod v2 {
    pub mod directory;
    pub mod ring;
    pub mod schedule;
}
pub mod v3 {
    pub mod directory;
    pub mod ring;
    pub mod schedule;
}
#[path = SIMULATOR]
pub mod simulator;

use simulator::onion_version::VERSION as Points;
use simulator::scenario::{Scenario, Version};
use simulator::world::World;

/// Simulates the seeds that are its arguments. Prints what is found broken first.
fn main() {
    for seed in std::env::args().skip(1).map(|seed| seed.parse().expect("a seed")) {
        let usual = match seed {
            CROWD => Scenario::crowd(Version::VERSION),
            BUSY.. => Scenario::busy(Version::VERSION, seed),
            _ => Scenario::of_seed(seed),
        };
        let scenario = Scenario { version: Version::VERSION, ..usual };
        if let Err(failure) = World::<Points>::new(scenario, None).run() {
            println!("{failure}");
            return;
        }
    }
}
"#;

const MANIFEST: &str = r#"
edition = "2024"
version = "0.0.0"
publish = false

[dependencies]
onionbalance-proto = { path = PROTO }
data-encoding = "2"
ed25519-dalek = "2"
memchr = "2"
rand_core = "0.6"
rustc-hash = "2"
sha2 = "0.10"
sha3 = "0.10"
thiserror = "2"
"#;

const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["mutants/*"]

[profile.dev]
debug = false
# The standard library's is in each of them otherwise.
strip = "debuginfo"
incremental = false

# These are built once. To optimise a mutant takes five times as long as to build it without, and it runs for a few seconds.
[profile.dev.package."*"]
opt-level = 3
"#;

#[test]
fn each_is_noticed() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let directory = BuildPaths::find()?.target.join("mutations");
    write_mutants(root, &directory)?;
    let cargo = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--target-dir"])
        .arg(directory.join("target"))
        .current_dir(&directory)
        .env_remove("RUSTFLAGS")
        .output()?;
    ensure!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let said = run_all(&directory.join("target/debug"))?;
    let mut wrong = Vec::new();
    for (mutation, said) in MUTATIONS.iter().chain(&INTACT).zip(&said) {
        println!("{}: {}", mutation.name, said.lines().next().unwrap_or("survived"));
        let broken = |invariant: &Invariant| said.starts_with(&format!("{invariant:?},"));
        let is_intact = mutation.expected.is_empty() && said.is_empty();
        if !is_intact && !mutation.expected.iter().any(broken) {
            wrong.push(format!("{}: expected {:?}, got {said:?}", mutation.name, mutation.expected));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The seeds that a program simulates, until one breaks an invariant.
fn seeds(mutation: &Mutation) -> Vec<u64> {
    let (version, known) = mutation.shown_by;
    if mutation.expected.is_empty() {
        let shown = MUTATIONS.iter().map(|mutation| mutation.shown_by).filter(|(of, _)| *of == version);
        return shown.map(|(_, seed)| seed).collect::<BTreeSet<_>>().into_iter().collect();
    }
    iter::once(known).chain(SEEDS).collect()
}

/// Runs two at a time; the result is what each has printed.
fn run_all(directory: &Path) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let all: Vec<&Mutation> = MUTATIONS.iter().chain(&INTACT).collect();
    for pair in all.chunks(2) {
        let started: Vec<_> = pair
            .iter()
            .map(|mutation| {
                Command::new(directory.join(mutation.name))
                    .args(seeds(mutation).iter().map(u64::to_string))
                    .stdout(Stdio::piped())
                    .spawn()
                    .with_context(|| format!("running {}", mutation.name))
            })
            .collect::<Result<_>>()?;
        for program in started {
            let output = program.wait_with_output()?;
            ensure!(output.status.success(), "a mutant ended with {}", output.status);
            said.push(String::from_utf8(output.stdout)?);
        }
    }
    Ok(said)
}

/// Writes a workspace with a package for each mutant, and for the balancer as it is. Files that are as they
/// should be are left alone, so that nothing is built twice.
fn write_mutants(root: &Path, directory: &Path) -> Result<()> {
    write(&directory.join("Cargo.toml"), WORKSPACE)?;
    // The same versions as everywhere else.
    if !directory.join("Cargo.lock").exists() {
        write(&directory.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    }
    let mut names = BTreeSet::new();
    for mutation in MUTATIONS.iter().chain(&INTACT) {
        ensure!(names.insert(mutation.name), "two mutations are called {}", mutation.name);
        let package = directory.join("mutants").join(mutation.name);
        let manifest = MANIFEST.replace("PROTO", &quoted(&root.join("proto")));
        write(&package.join("Cargo.toml"), &format!("[package]\nname = {:?}{manifest}", mutation.name))?;
        let simulator = quoted(&root.join("tests/simulator/src/lib.rs"));
        let version = format!("{:?}", mutation.shown_by.0);
        let main = MAIN.replace("SIMULATOR", &simulator).replace("VERSION", &version);
        write(
            &package.join("src/main.rs"),
            &main.replace("CROWD", &CROWD.to_string()).replace("BUSY", &BUSY.to_string()),
        )?;
        let mut applied = mutation.file.is_empty();
        let mut written = BTreeSet::from([package.join("src/main.rs")]);
        let balancer = root.join("balancer/src");
        for source in files(SOURCES.iter().map(|source| balancer.join(source)).collect())? {
            let name = source.strip_prefix(&balancer)?;
            let mut text = fs::read_to_string(&source)?;
            if name == Path::new(mutation.file) {
                let count = text.matches(mutation.text).count();
                ensure!(count == 1, "{}: its text is {count} times in {}", mutation.name, mutation.file);
                text = text.replace(mutation.text, mutation.replacement);
                applied = true;
            }
            write(&package.join("src").join(name), &text)?;
            written.insert(package.join("src").join(name));
        }
        // Files from an earlier state of the sources could make a module exist twice.
        for left in files(vec![package.join("src")])?.iter().filter(|file| !written.contains(*file)) {
            fs::remove_file(left)?;
        }
        ensure!(applied, "{}: there is no {}", mutation.name, mutation.file);
    }
    // A package of an earlier list is a member of the workspace, too.
    for package in fs::read_dir(directory.join("mutants"))? {
        let package = package?;
        if !package.file_name().to_str().is_some_and(|name| names.contains(name)) {
            fs::remove_dir_all(package.path())?;
        }
    }
    Ok(())
}

/// A path as TOML and Rust write a text.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// All sources at and below these paths.
fn files(mut left: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        } else {
            bail!("what is {}?", path.display());
        }
    }
    Ok(files)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file in a directory")?)?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
