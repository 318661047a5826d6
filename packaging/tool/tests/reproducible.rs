//! The programs are the same, wherever they are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use onionbalance_packaging::release::{Build, Profile, Source};
use onionbalance_packaging::{PROGRAMS, project};

/// The directories have paths of different lengths, which would move everything behind them.
#[test]
fn two_directories_make_the_same_programs() -> Result<()> {
    let work = tempfile::tempdir()?;
    let directories = ["one", "another-directory"].map(|name| work.path().join(name));
    let [one, other] = thread::scope(|scope| {
        let builds = directories.each_ref().map(|directory| scope.spawn(|| build(directory)));
        builds.map(|build| build.join().expect("the build does not panic"))
    });
    let (one, other) = (one?, other?);
    for program in PROGRAMS {
        compare(program, &fs::read(one.join(program))?, &fs::read(other.join(program))?, work.path())?;
    }
    Ok(())
}

/// Checks that a program of both builds is the same, and does not have the directories of either in it.
fn compare(program: &str, one: &[u8], other: &[u8], work: &Path) -> Result<()> {
    ensure!(one == other, "{program}: they differ, and have {} and {} bytes", one.len(), other.len());
    let text = String::from_utf8_lossy(one);
    for path in [work, project()] {
        let path = path.to_str().context("the path is not UTF-8")?;
        ensure!(!text.contains(path), "{program} has {path} in it");
    }
    for directory in ["/usr/src/onionbalance", "/usr/src/cargo/registry"] {
        ensure!(text.contains(directory), "{program} has no debug information of {directory}");
    }
    Ok(())
}

/// Builds the programs of a copy of the sources in this directory, and returns the directory that has them.
fn build(directory: &Path) -> Result<PathBuf> {
    copy_sources(directory)?;
    let build = Build { sources: directory, programs: &PROGRAMS, profile: Profile::Unoptimized };
    build.run(&Source::default(), &directory.join("target"))
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
