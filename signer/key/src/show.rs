//! `onionbalance-key show`: what a key file is, without its secret.

use std::path::Path;

use onionbalance_signer::keys::passphrase::Source;
use onionbalance_signer::keys::v3;
use onionbalance_signer::v3::authority::Authority;
use onionbalance_signer::v3::delegation::Delegation;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::render::Key;
use crate::{Command, Problem, Work, say};

pub(crate) static COMMAND: Command = Command {
    name: "show",
    help: "\
Shows what a key file is: address, version, form; of a delegation its periods, and
when it ends. Never a secret.

Usage: onionbalance-key show FILE [OPTIONS]

      --passphrase-file FILE  where the passphrases of encrypted keys stand, one a line
      --passphrase-fd NUMBER  the same, read from this file descriptor; without either
                              it is asked for on the terminal
",
    options: &["key", "passphrase-file", "passphrase-fd"],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let file = options.file()?;
    Ok(Box::new(move || show(&file, &options.passphrases)))
}

fn show(file: &Path, passphrases: &Source) -> Result<(), Problem> {
    let file = KeyFile::read(file, passphrases)?;
    file.open(|key| {
        let (form, encrypted) = file.form();
        say(format_args!("address: {}", key.address()?));
        say(format_args!("version: {}", if matches!(key, Key::V2(_)) { 2 } else { 3 }));
        say(format_args!("form: {form}"));
        say(format_args!("encrypted: {}", if encrypted { "yes" } else { "no" }));
        if let Key::V3(contents) = key {
            if let Authority::Delegation(delegation) = v3::authority(contents).map_err(Problem::new)? {
                show_delegation(&delegation);
            }
        }
        Ok(())
    })
}

/// The lines about a delegation, which `delegate` prints too.
pub(crate) fn show_delegation(delegation: &Delegation) {
    let (first, last) = delegation.span();
    let length = first.length.minutes();
    say(format_args!("delegated periods: {} to {}, of {length} minutes", first.number, last.number));
    say(format_args!("begins: {} UTC", delegation.begins()));
    say(format_args!("ends: {} UTC", delegation.ends()));
}
