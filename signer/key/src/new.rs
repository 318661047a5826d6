//! `onionbalance-key new`: makes a key.

use std::path::Path;

use onionbalance_key_file::Key;
use onionbalance_proto::v2::keys::BITS;
use rand_core::{OsRng, RngCore};
use rsa::RsaPrivateKey;
use zeroize::Zeroizing;

use crate::options::{Options, Version};
use crate::output::Place;
use crate::render::{Protection, render};
use crate::{Command, Problem, Work, address, output, say};

pub(crate) static COMMAND: Command = Command {
    name: "new",
    help: "\
Makes the key of a new onion service, and prints its address.

Usage: onionbalance-key new -o FILE [OPTIONS]

  -o, --output FILE           the key file to write; must not exist. A directory gets the
                              file ADDRESS.key
      --version 2|3           version of the onion service [default: 3]
      --plain                 do not encrypt
      --passphrase-file FILE  file with the passphrase alone
      --passphrase-fd NUMBER  the same, read from this file descriptor; without either
                              it is asked for on the terminal, twice
",
    options: &["output", "version", "plain", "passphrase-file", "passphrase-fd"],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let output = options.output()?;
    Ok(Box::new(move || new(&output, &options)))
}

fn new(output: &Path, options: &Options) -> Result<(), Problem> {
    let place = Place::new(output)?;
    let key = match options.version {
        Version::V3 => {
            let mut seed = Box::new(Zeroizing::new([0; 32]));
            OsRng.fill_bytes(seed.as_mut_slice());
            Key::Seed(seed)
        }
        // 1024 bits and the exponent 65537, as in tor (tor: `crypto_pk_generate_key`).
        Version::V2 => RsaPrivateKey::new(&mut OsRng, BITS).map_err(Problem::new)?.into(),
    };
    let address = address(&key)?;
    let file = place.file(&address)?;
    let protection = Protection::choose(options.plain, &options.passphrases, &file)?;
    output::create(&file, &render(&key, &protection)?)?;
    say(address);
    Ok(())
}
