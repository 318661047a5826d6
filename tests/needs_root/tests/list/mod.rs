//! The tests that are marked `#[needs_root]`, found in the sources.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directories with marked tests, below the workspace.
const PLACES: [&str; 2] = ["signer/tests", "tests/tests"];

/// Prints the tests that a user other than root does not run; prints nothing for root.
///
/// # Errors
/// A source cannot be read, or none is marked.
pub(crate) fn print(workspace: &Path, what: &str) -> io::Result<()> {
    if fs::metadata("/proc/self")?.uid() == 0 {
        return Ok(());
    }
    let marked = marked(workspace)?;
    let count: usize = marked.values().map(Vec::len).sum();
    println!(
        "\n{count} tests {what}: they need root, to start programs as other users and to read their memory.\n\
         `cargo test` as root runs them.\n"
    );
    for (file, tests) in marked {
        println!("  {}: {}", file.display(), tests.join(", "));
    }
    println!();
    Ok(())
}

/// The names of the marked tests of each file.
fn marked(workspace: &Path) -> io::Result<BTreeMap<PathBuf, Vec<String>>> {
    let mut marked = BTreeMap::new();
    let mut left: Vec<PathBuf> = PLACES.iter().map(|place| workspace.join(place)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let tests = marked_in(&fs::read_to_string(&path)?);
            let file = path.strip_prefix(workspace).unwrap_or(&path);
            if !tests.is_empty() {
                marked.insert(file.to_owned(), tests);
            }
        }
    }
    if marked.is_empty() { Err(io::Error::other("no test is marked #[needs_root]")) } else { Ok(marked) }
}

/// The functions that follow a mark.
fn marked_in(source: &str) -> Vec<String> {
    let after_marks = source.split("#[needs_root]\n").skip(1);
    let names = after_marks.filter_map(|after| after.split_once("fn ")?.1.split_once('('));
    names.map(|(name, _)| name.to_owned()).collect()
}
