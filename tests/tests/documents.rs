//! The files and tests that the documents name exist.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The threat model names a test for each attack that is stopped, as `path::function`.
#[test]
fn every_test_of_the_threat_model_exists() -> Result<()> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/threat-model.md"))?;
    let named: Vec<(&str, &str)> = text.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    ensure!(named.len() > 20, "only {} tests are named", named.len());
    for (path, function) in named {
        let path = format!("{path}.rs");
        let source = fs::read_to_string(Path::new(ROOT).join(&path)).with_context(|| format!("no {path}"))?;
        ensure!(source.contains(&format!("fn {function}(")), "{path} has no test {function}");
    }
    Ok(())
}
