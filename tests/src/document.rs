//! The blocks of the project's documents, by section, for tests that follow the documents.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A Markdown document.
#[derive(Clone, Debug)]
pub struct Document {
    blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Block {
    /// The nearest heading above it, of any level.
    section: String,
    /// The word after the fence: `console`, `yaml`, or nothing.
    language: String,
    text: String,
}

impl Document {
    /// Reads a document of this project, such as `README.md`.
    pub fn read(name: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let (mut blocks, mut section, mut open) = (Vec::new(), String::new(), None::<(usize, Block)>);
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            let fence = line.trim_start().strip_prefix("```");
            match (open.take(), fence) {
                (None, Some(language)) => {
                    let block = Block {
                        section: section.clone(),
                        language: language.trim().to_owned(),
                        text: String::new(),
                    };
                    open = Some((indent, block));
                }
                (None, None) => {
                    if let Some(heading) = line.strip_prefix('#') {
                        heading.trim_start_matches('#').trim().clone_into(&mut section);
                    }
                }
                (Some((_, block)), Some(_)) => blocks.push(block),
                (Some((indent, mut block)), None) => {
                    block.text += line.get(indent..).unwrap_or_default();
                    block.text.push('\n');
                    open = Some((indent, block));
                }
            }
        }
        Self { blocks }
    }

    /// The sections that have blocks, once for each block.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().map(|block| block.section.as_str())
    }

    /// The texts of a section's blocks in this language.
    pub fn blocks(&self, section: &str, language: &str) -> Vec<&str> {
        let wanted = |block: &&Block| block.section == section && block.language == language;
        self.blocks.iter().filter(wanted).map(|block| block.text.as_str()).collect()
    }

    /// The commands of a section's `console` blocks, a script for each block: lines with a prompt (`$` for a
    /// user, `#` for root) are commands, all others are output.
    pub fn console(&self, section: &str) -> Vec<String> {
        let command = |line: &str| {
            let (_, command) =
                ["$ ", "# "].iter().find_map(|prompt| Some((prompt, line.strip_prefix(prompt)?)))?;
            Some(format!("{command}\n"))
        };
        self.blocks(section, "console")
            .iter()
            .map(|block| block.lines().filter_map(command).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\n```console\n$ one\nits output\n$ two\n```\n\n## Part\n\n1. Step\n\n   ```yaml\n   a:\n     - b\n   ```\n\n   \
                        ```console\n   # three\n   ```\n### Next\n```\n# no heading\n```\n";

    #[test]
    fn finds_commands_by_section() {
        let document = Document::parse(TEXT);
        assert_eq!(document.console("Title"), ["one\ntwo\n"]);
        assert_eq!(document.console("Part"), ["three\n"]);
        assert!(document.console("no heading").is_empty());
        assert_eq!(document.sections().collect::<Vec<_>>(), ["Title", "Part", "Part", "Next"]);
    }

    #[test]
    fn keeps_a_blocks_own_indentation() {
        let document = Document::parse(TEXT);
        assert_eq!(document.blocks("Part", "yaml"), ["a:\n  - b\n"]);
        assert_eq!(document.blocks("Next", ""), ["# no heading\n"]);
    }
}
