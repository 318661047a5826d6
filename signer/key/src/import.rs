//! `onionbalance-key import`: imports a key from tor, mkp224o or Onionbalance.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use onionbalance_key_file::TORS_NAMES;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::output::Place;
use crate::render::{Protection, render};
use crate::{Command, Problem, Work, address, output, say};

pub(crate) static COMMAND: Command = Command {
    name: "import",
    help: "\
Imports the key of a service from tor, Onionbalance or mkp224o, and prints its address.
If a file `hostname` is beside the key, it must name the same address.

Usage: onionbalance-key import SOURCE -o FILE [OPTIONS]

SOURCE is tor's HiddenServiceDir, a key file in it (hs_ed25519_secret_key, or private_key
of a v2 service), the former in base64, alone or in mkp224o's YAML, or Onionbalance's key.

  -o, --output FILE               the key file to write; must not exist. A directory gets the
                                  file ADDRESS.key
      --plain                     do not encrypt
      --passphrase-file FILE      file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER      the same, read from this file descriptor
      --new-passphrase-file FILE  file with the new passphrase alone
      --new-passphrase-fd NUMBER  the same, read from this file descriptor
                                  Passphrases are asked for on the terminal without these.
",
    options: &[
        "key",
        "output",
        "plain",
        "passphrase-file",
        "passphrase-fd",
        "new-passphrase-file",
        "new-passphrase-fd",
    ],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let (source, output) = (options.file()?, options.output()?);
    Ok(Box::new(move || import(&source, &output, &options)))
}

fn import(source: &Path, output: &Path, options: &Options) -> Result<(), Problem> {
    let place = Place::new(output)?;
    let source = key_in(source)?;
    let file = KeyFile::read(&source, &options.passphrases)?;
    let key = file.open()?;
    let address = address(&key)?;
    check_hostname(&source, &address)?;
    if let Some(named) = file.hostname().filter(|named| *named != address) {
        return Err(belongs_to_another(&source, &address, &source, named));
    }
    let output = place.file(&address)?;
    let protection = Protection::choose(options.plain, &options.new_passphrase, &output)?;
    output::create(&output, &render(&key, &protection)?)?;
    say(address);
    Ok(())
}

/// The key file `source`, or the one in the directory `source`. Fails if a directory holds none of tor's key
/// files, or both.
fn key_in(source: &Path) -> Result<PathBuf, Problem> {
    if !source.is_dir() {
        return Ok(source.to_owned());
    }
    let mut found = Vec::new();
    for path in TORS_NAMES.map(|name| source.join(name)) {
        match path.try_exists() {
            Ok(true) => found.push(path),
            Ok(false) => {}
            Err(error) => {
                return Err(Problem::new(format_args!("cannot look for {}: {error}", path.display())));
            }
        }
    }
    match found.as_slice() {
        [key] => Ok(key.clone()),
        [] => Err(Problem::new(format_args!(
            "{} holds neither hs_ed25519_secret_key nor private_key: name a HiddenServiceDir or a key file",
            source.display()
        ))),
        [_, _, ..] => Err(Problem::new(format_args!(
            "{} holds the keys of two services: name one of the files",
            source.display()
        ))),
    }
}

/// Fails if the file `hostname` beside the key names another address. In a v2 service's a client's cookie may
/// follow the address.
fn check_hostname(key: &Path, address: &str) -> Result<(), Problem> {
    let file = key.with_file_name("hostname");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Problem::new(format_args!("cannot read {}: {error}", file.display()))),
    };
    match text.split_whitespace().next() {
        Some(named) if named == address => Ok(()),
        named => Err(belongs_to_another(key, address, &file, named.unwrap_or("nothing"))),
    }
}

fn belongs_to_another(key: &Path, address: &str, file: &Path, named: &str) -> Problem {
    let (key, file) = (key.display(), file.display());
    Problem::new(format_args!(
        "{key} is the key of {address}, but {file} names {named}: they do not belong together"
    ))
}
