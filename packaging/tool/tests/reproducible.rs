//! A program is the same, wherever it is built.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use onionbalance_packaging::project;
use onionbalance_packaging::release::{Build, Profile, Source};

const PROGRAM: &str = "onionbalance-key";

/// The directories have paths of different lengths, which would move everything behind them.
#[test]
fn two_directories_make_the_same_program() -> Result<()> {
    let work = tempfile::tempdir()?;
    let directories = ["one", "another-directory"].map(|name| work.path().join(name));
    let [one, other] = thread::scope(|scope| {
        let builds = directories.each_ref().map(|directory| scope.spawn(|| build(directory)));
        builds.map(|build| build.join().expect("the build does not panic"))
    });
    let (one, other) = (one?, other?);
    ensure!(one == other, "they differ, and have {} and {} bytes", one.len(), other.len());
    let text = String::from_utf8_lossy(&one);
    for path in [work.path(), project()] {
        let path = path.to_str().context("the path is not UTF-8")?;
        ensure!(!text.contains(path), "the program has {path} in it");
    }
    // The places of panics in dependencies; those in the sources themselves are relative.
    ensure!(text.contains("/usr/src/cargo/registry"), "the program has no places of panics");
    Ok(())
}

/// Builds the program of a copy of the sources in this directory, and returns its bytes.
fn build(directory: &Path) -> Result<Vec<u8>> {
    copy_sources(directory)?;
    let build = Build { sources: directory, programs: &[PROGRAM], profile: Profile::Dev };
    let programs = build.run(&Source::default(), &directory.join("target"))?;
    Ok(fs::read(programs.join(PROGRAM))?)
}

fn copy_sources(to: &Path) -> Result<()> {
    let listed = Command::new("git").arg("-C").arg(project()).args(["ls-files", "-z"]).output()?;
    ensure!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout)?;
    for name in names.split_terminator('\0') {
        let (from, to) = (project().join(name), to.join(name));
        fs::create_dir_all(to.parent().context("a file has a directory")?)?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}
