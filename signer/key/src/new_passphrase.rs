//! The passphrase for a file that is written: typed twice, or alone in a file.

use std::path::Path;

use onionbalance_key_file::passphrase::{Passphrases, Source};
use onionbalance_key_file::terminal::Terminal;
use zeroize::Zeroizing;

use crate::Problem;

/// The number of times that two typed passphrases may differ.
const TRIES: usize = 3;

/// Reads the passphrase for the new file at `path`. Fails if `source` is not exactly one line, or if none is
/// typed at the terminal.
pub(crate) fn read(source: &Source, path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let passphrases = source.read().map_err(Problem::new)?;
    let Passphrases::File { path: file, .. } = &passphrases else { return ask(path) };
    let mut lines = passphrases.lines();
    match (lines.next(), lines.next()) {
        (Some(passphrase), None) => Ok(Zeroizing::new(passphrase.to_vec())),
        (None, _) => {
            Err(Problem::new(format_args!("{} holds no passphrase: write one line", file.display())))
        }
        (Some(_), Some(_)) => Err(Problem::new(format_args!(
            "{} holds more than one line: write only the passphrase of the new file",
            file.display()
        ))),
    }
}

fn ask(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut terminal = Terminal::open().map_err(|error| {
        Problem::new(format_args!(
            "there is no terminal to ask for the passphrase of {} ({error}): name a file that holds it, or give --plain",
            path.display()
        ))
    })?;
    let mut ask = |prompt: String| {
        terminal.ask(&prompt).map_err(|error| Problem::new(format_args!("no passphrase was typed: {error}")))
    };
    for _ in 0..TRIES {
        let passphrase = ask(format!("New passphrase for {}: ", path.display()))?;
        if passphrase.is_empty() {
            return Err(Problem::new("an empty passphrase protects nothing: give --plain to have none"));
        }
        if passphrase == ask("The same once more: ".to_owned())? {
            return Ok(passphrase);
        }
    }
    Err(Problem::new(format_args!("the passphrases differed {TRIES} times")))
}
