//! `onionbalance-key export`: writes a key in tor's form, so that a tor can serve the service.

use std::path::Path;

use curve25519_dalek::scalar::clamp_integer;
use onionbalance_key_file::passphrase::Source;
use onionbalance_key_file::{Key, PKCS1_LABEL, TOR_TAG, pem};
use onionbalance_signer::v3::secret::expand;
use rsa::pkcs1::EncodeRsaPrivateKey;
use zeroize::Zeroizing;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::{Command, Problem, Work, address, output, say};

pub(crate) static COMMAND: Command = Command {
    name: "export",
    help: "\
Writes a key in the form of a HiddenServiceDir, so that a tor alone can serve the service:
hs_ed25519_secret_key, or private_key of a v2 service, neither of them encrypted. Prints
the address, which tor writes into the file hostname.

Usage: onionbalance-key export FILE -o FILE [OPTIONS]

  -o, --output FILE           the key file to write; must not exist
      --passphrase-file FILE  file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER  the same, read from this file descriptor; without either
                              it is asked for on the terminal
",
    options: &["key", "output", "passphrase-file", "passphrase-fd"],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let (file, output) = (options.file()?, options.output()?);
    Ok(Box::new(move || export(&file, &options.passphrases, &output)))
}

fn export(file: &Path, passphrases: &Source, output: &Path) -> Result<(), Problem> {
    output::must_be_absent(output)?;
    let key = KeyFile::read(file, passphrases)?.open()?;
    output::create(output, &tors(&key)?)?;
    say(address(&key)?);
    Ok(())
}

/// The contents of tor's file. Fails for a delegation.
fn tors(key: &Key) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match key {
        Key::Rsa(key) => Ok(pem::encode(PKCS1_LABEL, key.to_pkcs1_der().map_err(Problem::new)?.as_bytes())),
        Key::Seed(seed) => {
            let expanded = expand(seed);
            let (scalar, prefix) = expanded.split_at(32);
            let scalar = Zeroizing::new(clamp_integer(scalar.try_into().map_err(Problem::new)?));
            Ok(Zeroizing::new([TOR_TAG, scalar.as_slice(), prefix].concat()))
        }
        Key::Expanded(key) => Ok(Zeroizing::new([TOR_TAG, key.as_slice()].concat())),
        Key::Delegation(_) => Err(Problem::new(
            "a delegation is not the service's key, which tor needs: export the key that issued it",
        )),
    }
}
