//! `onionbalance-key show`: describes a key file, without its secret.

use std::path::Path;

use onionbalance_key_file::delegation::Span;
use onionbalance_key_file::passphrase::Source;
use onionbalance_signer::keys::Secret;
use onionbalance_signer::v3::authority::Authority;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::{Command, Problem, Work, say, secret};

pub(crate) static COMMAND: Command = Command {
    name: "show",
    help: "\
Shows the address, the version and the form of a key file, and the periods of a
delegation with its beginning and end. It never shows a secret.

Usage: onionbalance-key show FILE [OPTIONS]

      --passphrase-file FILE  file with the passphrases of encrypted keys, one a line
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
    let (version, address, span) = match secret(&file.open()?)? {
        Secret::V2(secret) => (2, secret.address().to_string(), None),
        Secret::V3(Authority::Identity(identity)) => (3, identity.address().to_string(), None),
        Secret::V3(Authority::Delegation(delegation)) => {
            (3, delegation.address.to_string(), Some(delegation.span))
        }
    };
    let (form, encrypted) = file.form();
    say(format_args!("address: {address}"));
    say(format_args!("version: {version}"));
    say(format_args!("form: {form}"));
    say(format_args!("encrypted: {}", if encrypted { "yes" } else { "no" }));
    span.into_iter().for_each(show_span);
    Ok(())
}

/// Prints the lines about a delegation. `delegate` uses them, too.
pub(crate) fn show_span(span: Span) {
    let (first, last) = (span.first, span.last());
    let length = first.length.minutes();
    say(format_args!("delegated periods: {} to {}, of {length} minutes", first.number, last.number));
    say(format_args!("begins: {} UTC", span.begins()));
    say(format_args!("ends: {} UTC", span.ends()));
}
