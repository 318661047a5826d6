//! The completions of the programs' command lines for shells.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use clap_complete::{Shell, generate};

use crate::command_lines;

/// Writes the completions of all programs where Debian's shells look for them below `share` (`/usr/share`).
///
/// # Errors
/// A file cannot be written.
pub fn write(share: &Path) -> io::Result<()> {
    for (shell, place) in PLACES {
        let directory = share.join(place);
        fs::create_dir_all(&directory)?;
        for mut definition in command_lines() {
            let name = definition.get_name().to_owned();
            generate(shell, &mut definition, &name, &mut File::create(directory.join(file(shell, &name)))?);
        }
    }
    Ok(())
}

const PLACES: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/vendor-completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// The name by which the shell finds the completions of `program`.
fn file(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Zsh => format!("_{program}"),
        Shell::Fish => format!("{program}.fish"),
        _ => program.to_owned(),
    }
}
