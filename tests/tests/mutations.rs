//! The engine is broken on purpose, and the simulator has to notice each time.
//!
//! A mutation replaces a text in one of the balancer's files. All mutants are built by one cargo from copies of just those
//! sources that the simulator needs, for one version of onion services, which halves the work of the compiler. Each runs the
//! simulator until that complains, at first with the seed that is known to show what is broken.

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use onionbalance_tests::paths::BuildPaths;
use onionbalance_tests::simulator::invariants::Invariant::{self, *};
use onionbalance_tests::simulator::scenario::Version::{self, V2, V3};

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
    /// The version of onion services in which it is looked for, and the seed that is known to show it; [`CROWD`] or one of a scenario.
    shown_by: (Version, u64),
}

/// Stands for [`Scenario::crowd`](onionbalance_tests::simulator::scenario::Scenario::crowd), in place of a seed.
const CROWD: u64 = 0;
/// If the known seed does not show a mutation any more, because the engine or the simulator has changed, these are tried.
const SEEDS: RangeInclusive<u64> = CROWD..=300;

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "forget-the-second-descriptor",
        file: "engine/service.rs",
        text: "in view.into_iter().flatten() {",
        replacement: "in view.into_iter().flatten().take(1) {",
        expected: &[Stored, Found, Prompt],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "count-a-rejected-upload-as-done",
        file: "engine/descriptor/mod.rs",
        text: "UploadOutcome::Refused(reason) => self.refused(cx, id, fingerprint, revision, reason),",
        replacement: "UploadOutcome::Refused(_) => _ = hsdir.stored(cx.now.elapsed, id, revision, self.proof),",
        expected: &[Stored, Living, Configured],
        shown_by: (V3, 5),
    },
    Mutation {
        name: "take-the-older-revision",
        file: "engine/backend/mod.rs",
        text: "(Ordering::Less, _) => Relation::Older,",
        replacement: "(Ordering::Less, _) => Relation::Newer,",
        expected: &[Newest],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "stop-at-the-rings-end",
        file: "v3/ring.rs",
        text: "in from.iter().chain(before) {",
        replacement: "in from {",
        expected: &[Stored, Found],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "stop-at-the-rings-end-v2",
        file: "v2/ring.rs",
        text: "from.iter().chain(before).take(SPREAD)",
        replacement: "from.iter().take(SPREAD)",
        expected: &[Stored, Found, Prompt],
        shown_by: (V2, 1),
    },
    Mutation {
        name: "count-age-from-the-fetch",
        file: "engine/backend/mod.rs",
        text: "Duration::from_secs(cx.now.wall.since(copy.published))",
        replacement: "Duration::ZERO",
        expected: &[Living],
        shown_by: (V2, 3),
    },
    Mutation {
        name: "drop-jitter",
        file: "engine/timing.rs",
        text: "low + high.saturating_sub(low).mul_f64(fraction)",
        replacement: "low + Duration::ZERO.mul_f64(fraction)",
        expected: &[Spread],
        shown_by: (V3, CROWD),
    },
    Mutation {
        name: "publish-an-empty-set",
        file: "engine/dispatch.rs",
        text: "service.points(set).to_vec()",
        replacement: "service.points(set + 1).to_vec()",
        expected: &[Sets],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "ignore-upload-time-outs",
        file: "engine/descriptor/mod.rs",
        text: "let until = cx.now.elapsed + cx.timing.upload_timeout;",
        replacement: "let until = cx.now.elapsed + cx.timing.upload_timeout * 1000;",
        expected: &[Stored, Living, Height],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "never-retry",
        file: "engine/upload.rs",
        text: "self.state = State::Wanted { at: cx.retry_at(self.failures) };",
        replacement: "self.state = State::Wanted { at: cx.now.elapsed + Duration::from_hours(24) };",
        expected: &[Stored, Living],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "forget-the-budget",
        file: "engine/capacity/line.rs",
        text: "(self.pace.ready_at() <= now).then_some(request)",
        replacement: "Some(request)",
        expected: &[Budget],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "ask-tor-for-more-than-it-can-do",
        file: "engine/capacity.rs",
        text: "self.in_flight.saturating_sub(self.slots.len() + reserved)",
        replacement: "usize::MAX - reserved",
        expected: &[InFlight],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "free-a-slot-while-tor-is-at-it",
        file: "engine/capacity.rs",
        text: "const HELD: Duration = Duration::from_secs(60);",
        replacement: "const HELD: Duration = Duration::from_secs(2);",
        expected: &[InFlight],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "ignore-new-hsdirs",
        file: "engine/descriptor/mod.rs",
        text: "for fingerprint in listed {",
        replacement: "for fingerprint in listed {\n if !self.sets.is_empty() && !self.hsdirs.contains_key(&fingerprint) { continue; }",
        expected: &[Stored],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "post-to-all-on-a-new-consensus",
        file: "engine/upload.rs",
        text: "if self.state == State::Unknown {",
        replacement: "if !matches!(self.state, State::Uploading { .. }) {",
        expected: &[Needless, Spread],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "keep-a-removed-backends-points",
        file: "engine/service.rs",
        text: "self.backends = backends;",
        replacement: "self.backends.extend(backends);",
        expected: &[Configured],
        shown_by: (V3, 2),
    },
    Mutation {
        name: "list-two-points-at-one-relay",
        file: "engine/select.rs",
        text: "if P::FAILED_IS_STRUCK_OFF {",
        replacement: "if true {",
        expected: &[Sets],
        shown_by: (V3, 7),
    },
    Mutation {
        name: "detect-changes-by-relay",
        file: "engine/backend/mod.rs",
        text: "ids(a).eq(ids(b)) || ids(a).collect::<BTreeSet<_>>() == ids(b).collect()",
        replacement: "_ = (ids::<P>, BTreeSet::<u8>::new()); a.iter().map(Point::relay).eq(b.iter().map(Point::relay))",
        expected: &[Newest],
        shown_by: (V3, 2),
    },
    Mutation {
        name: "keep-the-dead-for-ever",
        file: "engine/backend/mod.rs",
        text: "let good_until = now + cx.timing.max_age.saturating_sub(age);",
        replacement: "let good_until = now + cx.timing.max_age * 1000 - age;",
        expected: &[Living],
        shown_by: (V2, 1),
    },
    Mutation {
        name: "forget-what-was-read-back",
        file: "engine/revision.rs",
        text: "self.seen = self.seen.max(Some(revision));",
        replacement: "_ = revision;",
        expected: &[Revision],
        shown_by: (V3, 2),
    },
    Mutation {
        name: "sign-each-retry-anew",
        file: "engine/descriptor/rounds.rs",
        text: "revision: kept.map_or_else(new, Revision::Kept)",
        replacement: "revision: new()",
        expected: &[Height, Needless],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "begin-a-round-for-one-hsdir",
        file: "engine/descriptor/rounds.rs",
        text: "let kept = self.kept_revision(soon);",
        replacement: "let kept: Option<u64> = None;",
        expected: &[Needless],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "sleep-unnoticed",
        file: "engine/clock.rs",
        text: "if by >= STEP {",
        replacement: "if by >= STEP && false {",
        expected: &[Stored],
        shown_by: (V3, 2),
    },
    Mutation {
        name: "renew-too-late",
        file: "engine/timing.rs",
        text: "republish_to: self.republish_to.min(period / 12),",
        replacement: "republish_to: self.republish_to.max(period / 3),",
        expected: &[Stored],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "believe-an-hsdir-of-version-2",
        file: "engine/upload.rs",
        text: "(Proof::Word, _) => self.settle(),",
        replacement: "(Proof::Word | Proof::ReadBack, _) => self.settle(),",
        expected: &[Stored, Living],
        shown_by: (V2, 2),
    },
    Mutation {
        name: "drop-the-last-set-at-once",
        file: "engine/service.rs",
        text: "self.keep_last(cx, backends);",
        replacement: "self.sets.clear(); self.keep_last(cx, backends);",
        expected: &[Stored, Found],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "forget-publications-early",
        file: "engine/publication.rs",
        text: "*posted + REMEMBERED <= now",
        replacement: "*posted + REMEMBERED / 60 <= now",
        expected: &[Needless],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "believe-an-older-success",
        file: "engine/upload.rs",
        text: "if id >= self.current_since && !awaits_later {",
        replacement: "if true {",
        expected: &[Stored, Height],
        shown_by: (V3, 4),
    },
    Mutation {
        name: "take-a-lost-upload-for-stored",
        file: "engine/upload.rs",
        text: "State::Stored => {}\n            // The",
        replacement: "State::Stored => {}\n State::Uploading { .. } => self.settle(),\n // The",
        expected: &[Stored, Height],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "give-up-an-unknown-hsdir",
        file: "engine/upload.rs",
        text: "if self.state == State::Unknown {",
        replacement: "if false {",
        expected: &[Stored],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "leave-descriptors-in-line-when-tor-is-lost",
        file: "engine/descriptor/mod.rs",
        text: "self.in_line = false;",
        replacement: "",
        expected: &[Stored, Prompt, Height],
        shown_by: (V3, 4),
    },
    Mutation {
        name: "leave-backends-in-line-when-tor-is-lost",
        file: "engine/backend/mod.rs",
        text: "self.in_line = false;",
        replacement: "",
        expected: &[Seen, Prompt],
        shown_by: (V3, 106),
    },
    Mutation {
        name: "guess-for-one-refusal",
        file: "engine/descriptor/refusals.rs",
        text: "let most_refuse = refusing * 2 >= self.hsdirs.len();",
        replacement: "let most_refuse = refusing >= 1;",
        expected: &[Guess],
        shown_by: (V3, 2),
    },
    Mutation {
        name: "go-on-with-an-old-guess",
        file: "engine/revision.rs",
        text: "self.guess = None;",
        replacement: "",
        expected: &[Guess],
        shown_by: (V3, 4),
    },
    Mutation {
        name: "give-both-replicas-the-same-sets",
        file: "engine/descriptor/mod.rs",
        text: "let first = usize::from(self.slot.replica) * listed.len();",
        replacement: "let first = 0;",
        expected: &[Fair],
        shown_by: (V2, 6),
    },
    Mutation {
        name: "give-a-new-hsdir-the-last-set",
        file: "engine/descriptor/mod.rs",
        text: "let mut free = (first..).filter(|number| !taken.contains(number));",
        replacement: "let mut free = first + listed.len() - 1..;",
        expected: &[Fair],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "resend-a-set-that-was-not-signed",
        file: "engine/descriptor/rounds.rs",
        text: "|set| round.sets.contains(&set)",
        replacement: "|_| true",
        expected: &[Sets],
        shown_by: (V3, 12),
    },
    Mutation {
        name: "wait-until-nothing-changes",
        file: "engine/service.rs",
        text: "earlier.min(at)",
        replacement: "earlier.max(at)",
        expected: &[Prompt],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "serve-a-line-in-the-order-of-coming",
        file: "engine/capacity/line.rs",
        text: "self.waiting.insert((until, self.joined), request);",
        replacement: "self.waiting.insert((now, self.joined), request);",
        expected: &[Prompt],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "take-time-for-the-second-look",
        file: "engine/look.rs",
        text: "cx.timing.look_again, cx.timing.refresh, self.misses",
        replacement: "cx.timing.refresh, cx.timing.refresh, self.misses",
        expected: &[Prompt],
        shown_by: (V3, 1),
    },
    Mutation {
        name: "look-at-a-new-period-some-time",
        file: "engine/backend/mod.rs",
        text: "let look = self.period != period || self.looks.is_empty();",
        replacement: "let look = self.looks.is_empty();",
        expected: &[Prompt],
        shown_by: (V3, 1),
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

use simulator::generation::VERSION as Points;
use simulator::scenario::{Scenario, Version};
use simulator::world::World;

/// Simulates the seeds that are its arguments. Prints what is found broken first.
fn main() {
    for seed in std::env::args().skip(1).map(|seed| seed.parse().expect("a seed")) {
        let usual = if seed == CROWD { Scenario::crowd(Version::VERSION) } else { Scenario::of_seed(seed) };
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

/// Nothing is broken in these, in which all seeds are simulated that show mutations.
const INTACT: [Mutation; 2] = [
    Mutation { name: "intact-2", file: "", text: "", replacement: "", expected: &[], shown_by: (V2, CROWD) },
    Mutation { name: "intact-3", file: "", text: "", replacement: "", expected: &[], shown_by: (V3, CROWD) },
];

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

/// Writes a workspace with a package for each mutant, and for the balancer as it is. Files that are as they should be are
/// left alone, so that nothing is built twice.
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
        let simulator = quoted(&root.join("tests/src/simulator/mod.rs"));
        let version = format!("{:?}", mutation.shown_by.0);
        let main = MAIN.replace("SIMULATOR", &simulator).replace("VERSION", &version);
        write(&package.join("src/main.rs"), &main.replace("CROWD", &CROWD.to_string()))?;
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
