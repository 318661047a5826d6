//! `onionbalance-key encrypt`: encrypts a key, or changes its passphrase.

use std::path::Path;

use onionbalance_key_file::passphrase::Source;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::render::{Protection, render};
use crate::{Command, Problem, Work, address, output, say};

pub(crate) static COMMAND: Command = Command {
    name: "encrypt",
    help: "\
Writes a key encrypted under a new passphrase: PKCS#8 with scrypt if the key has that
form, a sealed file for tor's hs_ed25519_secret_key and for delegations. The old file is
kept: remove it with shred(1) after the new one has opened.

Usage: onionbalance-key encrypt FILE -o FILE [OPTIONS]

  -o, --output FILE               the key file to write; must not exist
      --passphrase-file FILE      file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER      the same, read from this file descriptor
      --new-passphrase-file FILE  file with the new passphrase alone
      --new-passphrase-fd NUMBER  the same, read from this file descriptor
                                  Passphrases are asked for on the terminal without these.
",
    options: &[
        "key",
        "output",
        "passphrase-file",
        "passphrase-fd",
        "new-passphrase-file",
        "new-passphrase-fd",
    ],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let (file, output) = (options.file()?, options.output()?);
    Ok(Box::new(move || encrypt(&file, &options.passphrases, &output, &options.new_passphrase)))
}

fn encrypt(file: &Path, passphrases: &Source, output: &Path, passphrase: &Source) -> Result<(), Problem> {
    output::must_be_absent(output)?;
    let key = KeyFile::read(file, passphrases)?.open()?;
    let protection = Protection::choose(false, passphrase, output)?;
    output::create(output, &render(&key, &protection)?)?;
    say(address(&key)?);
    Ok(())
}
