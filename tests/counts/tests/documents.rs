//! The documents about the sources are true where a program can tell: each path that they name exists, and
//! the arrows of ARCHITECTURE.md and the citations of docs/spec-map.md are those of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use onionbalance_counts::arrows::{self, List};
use onionbalance_counts::citations;
use onionbalance_counts::workspace;

/// Documents with paths of sources, each with the least number that it names.
const DOCUMENTS: [(&str, usize); 2] = [("ARCHITECTURE.md", 60), ("CONTRIBUTING.md", 30)];

/// Names with a slash that are none of a file.
const NO_PATHS: [&str; 1] = ["md/all"];

#[test]
fn every_path_exists() -> Result<()> {
    let mut known = BTreeSet::new();
    list(workspace::root(), "", &mut known)?;
    for (document, least) in DOCUMENTS {
        let text = fs::read_to_string(workspace::root().join(document))?;
        let (mut number, mut missing) = (0, Vec::new());
        for section in text.split("\n#") {
            // The paths of the section so far: a short name such as `pace.rs` is looked up beside the last of them first.
            let mut before: Vec<String> = Vec::new();
            for path in named(section) {
                number += 1;
                match find(&path, &before, &known) {
                    Ok(path) => before.push(path),
                    Err(problem) => missing.push(format!("{path}: {problem}")),
                }
            }
        }
        ensure!(number > least, "{document} names only {number} paths");
        ensure!(missing.is_empty(), "{document}:\n{}", missing.join("\n"));
    }
    Ok(())
}

#[test]
fn its_arrows_are_those_of_the_sources() -> Result<()> {
    let text = fs::read_to_string(workspace::root().join("ARCHITECTURE.md"))?;
    let (written, list) = (List::parse(&text)?, List::of(&workspace::read(workspace::root())?));
    ensure!(
        arrows::block(&text)? == list.write(),
        "ARCHITECTURE.md lacks {:?}, and has {:?} which the sources lack; `cargo counts --arrows` prints the list",
        list.without(&written),
        written.without(&list)
    );
    Ok(())
}

#[test]
fn the_map_of_specifications_is_that_of_the_sources() -> Result<()> {
    let written = fs::read_to_string(workspace::root().join("docs/spec-map.md"))?;
    let map = citations::document(&workspace::read(workspace::root())?);
    let missing: Vec<&str> = map.lines().filter(|line| !written.contains(line)).collect();
    ensure!(
        written == map,
        "docs/spec-map.md lacks {missing:#?}: run `cargo counts --spec-map > docs/spec-map.md`"
    );
    Ok(())
}

/// The full path of one that is named behind others. Fails if there is none, or if more than one are meant.
fn find(path: &str, before: &[String], known: &BTreeSet<String>) -> Result<String, String> {
    if known.contains(path) {
        return Ok(path.into());
    }
    let ending = format!("/{path}");
    let found: Vec<&String> = known.iter().filter(|known| known.ends_with(&ending)).collect();
    let folders = before.iter().rev().flat_map(|path| Path::new(path).ancestors());
    let mut below = folders.filter(|folder| !folder.as_os_str().is_empty()).map(|folder| {
        found.iter().copied().filter(|path| Path::new(path).starts_with(folder)).collect::<Vec<_>>()
    });
    match (found.as_slice(), below.find(|below| below.len() == 1).as_deref()) {
        ([], _) => Err("there is no such path".into()),
        ([path], _) | (_, Some([path])) => Ok((*path).clone()),
        _ => Err(format!("is one of {found:?}; name more of it")),
    }
}

/// The paths between backticks: each word with a slash or a file's ending, its braces expanded, without a
/// last slash.
fn named(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    let words = prose.iter().flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./{},".contains(c));
        let is_file = [".rs", ".md", ".toml", ".sh"].iter().any(|ending| word.ends_with(ending));
        !NO_PATHS.contains(word) && is_plain && (word.contains('/') || is_file)
    };
    words.filter(is_path).flat_map(expand).map(|path| path.trim_end_matches('/').into()).collect()
}

/// `a/{b,c}` is `a/b` and `a/c`. A module is a folder or a file, so a name without an ending stays as it is.
fn expand(word: &str) -> Vec<String> {
    let parts = word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (inside, after))) = parts else { return vec![word.into()] };
    inside.split(',').flat_map(|name| expand(&format!("{before}{name}{after}"))).collect()
}

/// Adds the paths of all files and folders; a module's file also without its ending.
fn list(folder: &Path, prefix: &str, known: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["target", ".git", "corpus"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), known)?;
        } else if let Some(module) = path.strip_suffix(".rs") {
            known.insert(module.into());
        }
        known.insert(path);
    }
    Ok(())
}

#[test]
fn reads_names_of_paths() {
    let text = "`a/b.rs` and `c/{d,e}/`, not `f::g`, `HSFETCH` or `SERVER=…/`\n```\n`h/i`\n```\n`j.rs`";
    assert_eq!(named(text), ["a/b.rs", "c/d", "c/e", "j.rs"]);
}
