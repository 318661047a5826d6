//! The engine is broken on purpose, and the simulator has to notice each time.
//!
//! A mutation replaces a text in one of the balancer's files. All mutants are built by one cargo from copies of just those
//! sources that the simulator needs, and each runs the simulator until that complains.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use onionbalance_tests::paths::BuildPaths;
use onionbalance_tests::simulator::invariants::Invariant::{self, *};

/// One way to break the balancer.
struct Mutation {
    name: &'static str,
    /// Under `balancer/src`.
    file: &'static str,
    /// Must be there exactly once.
    text: &'static str,
    replacement: &'static str,
    /// One of these has to be found broken.
    expected: &'static [Invariant],
}

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "forget-the-second-descriptor",
        file: "engine/service.rs",
        text: "in view.into_iter().flatten() {",
        replacement: "in view.into_iter().flatten().take(1) {",
        expected: &[Stored, Found],
    },
    Mutation {
        name: "count-a-rejected-upload-as-done",
        file: "engine/descriptor/mod.rs",
        text: "UploadOutcome::Refused(reason) => self.refused(cx, id, fingerprint, revision, reason),",
        replacement: "UploadOutcome::Refused(_) => _ = hsdir.stored(cx.now.elapsed, id, revision, self.proof),",
        expected: &[Stored, Living, Configured],
    },
    Mutation {
        name: "take-the-older-revision",
        file: "engine/backend/mod.rs",
        text: "(Ordering::Less, _) => Relation::Older,",
        replacement: "(Ordering::Less, _) => Relation::Newer,",
        expected: &[Newest],
    },
    Mutation {
        name: "stop-at-the-rings-end",
        file: "v3/ring.rs",
        text: "in from.iter().chain(before) {",
        replacement: "in from {",
        expected: &[Stored, Found],
    },
    Mutation {
        name: "stop-at-the-rings-end-v2",
        file: "v2/ring.rs",
        text: "from.iter().chain(before).take(SPREAD)",
        replacement: "from.iter().take(SPREAD)",
        expected: &[Stored, Found],
    },
    Mutation {
        name: "count-age-from-the-fetch",
        file: "engine/backend/mod.rs",
        text: "Duration::from_secs(cx.now.wall.since(copy.published))",
        replacement: "Duration::ZERO",
        expected: &[Living],
    },
    Mutation {
        name: "drop-jitter",
        file: "engine/timing.rs",
        text: "low + high.saturating_sub(low).mul_f64(fraction)",
        replacement: "low + Duration::ZERO.mul_f64(fraction)",
        expected: &[Spread],
    },
    Mutation {
        name: "publish-an-empty-set",
        file: "engine/dispatch.rs",
        text: "service.points(set).to_vec()",
        replacement: "service.points(set + 1).to_vec()",
        expected: &[Sets],
    },
    Mutation {
        name: "ignore-upload-time-outs",
        file: "engine/descriptor/mod.rs",
        text: "let until = cx.now.elapsed + cx.timing.upload_timeout;",
        replacement: "let until = cx.now.elapsed + cx.timing.upload_timeout * 1000;",
        expected: &[Stored, Living],
    },
    Mutation {
        name: "never-retry",
        file: "engine/upload.rs",
        text: "self.state = State::Wanted { at: cx.retry_at(self.failures) };",
        replacement: "self.state = State::Wanted { at: cx.now.elapsed + Duration::from_hours(24) };",
        expected: &[Stored, Living],
    },
    Mutation {
        name: "forget-the-budget",
        file: "engine/capacity/line.rs",
        text: "(self.pace.ready_at() <= now).then_some(request)",
        replacement: "Some(request)",
        expected: &[Budget],
    },
    Mutation {
        name: "ask-tor-for-more-than-it-can-do",
        file: "engine/capacity.rs",
        text: "self.in_flight.saturating_sub(self.slots.len() + reserved)",
        replacement: "usize::MAX - reserved",
        expected: &[InFlight],
    },
    Mutation {
        name: "free-a-slot-while-tor-is-at-it",
        file: "engine/capacity.rs",
        text: "const HELD: Duration = Duration::from_secs(60);",
        replacement: "const HELD: Duration = Duration::from_secs(2);",
        expected: &[InFlight],
    },
    Mutation {
        name: "ignore-new-hsdirs",
        file: "engine/descriptor/mod.rs",
        text: "for fingerprint in listed {",
        replacement: "for fingerprint in listed {\n if !self.sets.is_empty() && !self.hsdirs.contains_key(&fingerprint) { continue; }",
        expected: &[Stored],
    },
    Mutation {
        name: "post-to-all-on-a-new-consensus",
        file: "engine/upload.rs",
        text: "if self.state == State::Unknown {",
        replacement: "if !matches!(self.state, State::Uploading { .. }) {",
        expected: &[Needless, Spread],
    },
    Mutation {
        name: "keep-a-removed-backends-points",
        file: "engine/service.rs",
        text: "self.backends = backends;",
        replacement: "self.backends.extend(backends);",
        expected: &[Configured],
    },
    Mutation {
        name: "list-two-points-at-one-relay",
        file: "engine/select.rs",
        text: "if P::FAILED_IS_STRUCK_OFF {",
        replacement: "if true {",
        expected: &[Sets],
    },
    Mutation {
        name: "detect-changes-by-relay",
        file: "engine/backend/mod.rs",
        text: "ids(a).eq(ids(b)) || ids(a).collect::<BTreeSet<_>>() == ids(b).collect()",
        replacement: "_ = (ids::<P>, BTreeSet::<u8>::new()); a.iter().map(Point::relay).eq(b.iter().map(Point::relay))",
        expected: &[Newest],
    },
    Mutation {
        name: "keep-the-dead-for-ever",
        file: "engine/backend/mod.rs",
        text: "let good_until = now + cx.timing.max_age.saturating_sub(age);",
        replacement: "let good_until = now + cx.timing.max_age * 1000 - age;",
        expected: &[Living],
    },
    Mutation {
        name: "forget-what-was-read-back",
        file: "engine/revision.rs",
        text: "self.seen = self.seen.max(Some(revision));",
        replacement: "_ = revision;",
        expected: &[Revision],
    },
    Mutation {
        name: "sign-each-retry-anew",
        file: "engine/descriptor/rounds.rs",
        text: "revision: kept.map_or_else(new, Revision::Kept)",
        replacement: "revision: new()",
        expected: &[Height, Needless],
    },
    Mutation {
        name: "begin-a-round-for-one-hsdir",
        file: "engine/descriptor/rounds.rs",
        text: "let kept = self.kept_revision(soon);",
        replacement: "let kept: Option<u64> = None;",
        expected: &[Needless],
    },
    Mutation {
        name: "sleep-unnoticed",
        file: "engine/clock.rs",
        text: "if by >= STEP {",
        replacement: "if by >= STEP && false {",
        expected: &[Stored],
    },
    Mutation {
        name: "renew-too-late",
        file: "engine/timing.rs",
        text: "republish_to: self.republish_to.min(period / 12),",
        replacement: "republish_to: self.republish_to.max(period / 3),",
        expected: &[Stored],
    },
    Mutation {
        name: "believe-an-hsdir-of-version-2",
        file: "engine/upload.rs",
        text: "(Proof::Word, _) => self.settle(),",
        replacement: "(Proof::Word | Proof::ReadBack, _) => self.settle(),",
        expected: &[Stored, Living],
    },
    Mutation {
        name: "drop-the-last-set-at-once",
        file: "engine/service.rs",
        text: "self.keep_last(cx, backends);",
        replacement: "self.sets.clear(); self.keep_last(cx, backends);",
        expected: &[Stored, Found],
    },
];

/// The sources that the simulator needs, under `balancer/src`.
const SOURCES: [&str; 9] = [
    "engine",
    "relay.rs",
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
pub mod relay;
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

use simulator::scenario::{Scenario, Version};

/// Prints what is found broken first.
fn main() {
    let crowds = [Version::V3, Version::V2].map(Scenario::crowd);
    for scenario in crowds.into_iter().chain((1..=300).map(Scenario::of_seed)) {
        if let Err(failure) = simulator::simulate(scenario) {
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
opt-level = 1

[profile.dev.package]
curve25519-dalek.opt-level = 3
keccak.opt-level = 3
"#;

/// Nothing is broken in it.
const INTACT: &str = "intact";

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
    let names: Vec<&str> = MUTATIONS.iter().map(|mutation| mutation.name).chain([INTACT]).collect();
    let said = run_all(&directory.join("target/debug"), &names)?;
    let mut wrong = Vec::new();
    for (mutation, said) in MUTATIONS.iter().zip(&said) {
        println!("{}: {}", mutation.name, said.lines().next().unwrap_or("survived"));
        let broken = |invariant: &Invariant| said.starts_with(&format!("{invariant:?},"));
        if !mutation.expected.iter().any(broken) {
            wrong.push(format!("{}: expected {:?}, got {said:?}", mutation.name, mutation.expected));
        }
    }
    if let Some(said) = said.last().filter(|said| !said.is_empty()) {
        wrong.push(format!("nothing is broken, and yet: {said}"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Runs two at a time; the result is what each has printed.
fn run_all(directory: &Path, names: &[&str]) -> Result<Vec<String>> {
    let mut said = Vec::new();
    for pair in names.chunks(2) {
        let started: Vec<_> = pair
            .iter()
            .map(|name| {
                let mut command = Command::new(directory.join(name));
                command
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .with_context(|| format!("running {name}"))
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

/// Writes a workspace with a package for each mutant, and for the balancer as it is. Files that are as they should be are
/// left alone, so that nothing is built twice.
fn write_mutants(root: &Path, directory: &Path) -> Result<()> {
    write(&directory.join("Cargo.toml"), WORKSPACE)?;
    // The same versions as everywhere else.
    if !directory.join("Cargo.lock").exists() {
        write(&directory.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    }
    let intact = Mutation { name: INTACT, file: "", text: "", replacement: "", expected: &[] };
    let mut names = BTreeSet::new();
    for mutation in MUTATIONS.iter().chain([&intact]) {
        ensure!(names.insert(mutation.name), "two mutations are called {}", mutation.name);
        let package = directory.join("mutants").join(mutation.name);
        let manifest = MANIFEST.replace("PROTO", &quoted(&root.join("proto")));
        write(&package.join("Cargo.toml"), &format!("[package]\nname = {:?}{manifest}", mutation.name))?;
        let simulator = quoted(&root.join("tests/src/simulator/mod.rs"));
        write(&package.join("src/main.rs"), &MAIN.replace("SIMULATOR", &simulator))?;
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
        // What an earlier state of the sources has left would be a module twice.
        for left in files(vec![package.join("src")])?.iter().filter(|file| !written.contains(*file)) {
            fs::remove_file(left)?;
        }
        ensure!(applied, "{}: there is no {}", mutation.name, mutation.file);
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
