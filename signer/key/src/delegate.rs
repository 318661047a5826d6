//! `onionbalance-key delegate`: issues the keys that a signer needs for some time, on the machine with the
//! identity key.

use std::path::Path;

use onionbalance_key_file::delegation::Delegation;
use onionbalance_key_file::{Key, MAX_LENGTH};
use onionbalance_signer::keys::Secret;
use onionbalance_signer::now;
use onionbalance_signer::v3::authority::Authority;
use onionbalance_signer::v3::secret::IdentitySecret;
use rand_core::OsRng;

use crate::key_file::KeyFile;
use crate::options::Options;
use crate::render::{Protection, render};
use crate::{Command, Problem, Work, issue, output, say, secret, show};

pub(crate) static COMMAND: Command = Command {
    name: "delegate",
    help: "\
Issues the keys that a signer needs to publish a v3 service for some time periods, without
the service's key. Run it on a machine without network, which alone keeps that key. The
file is encrypted. With its passphrase it is worth as much as the key until its last
period ends, and cannot be revoked.

Usage: onionbalance-key delegate --key FILE --periods NUMBER -o FILE [OPTIONS]

      --key FILE                  the service's key
      --periods NUMBER            number of periods from the present one on; the previous
                                  one is added while its descriptor is published
      --from TIME                 begin at this time instead of the present, YYYY-MM-DD or
                                  'YYYY-MM-DD HH:MM:SS', UTC
      --period-length MINUTES     length of the network's periods [default: 1440, as on the
                                  public network]
  -o, --output FILE               the delegation to write; must not exist
      --passphrase-file FILE      file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER      the same, read from this file descriptor
      --new-passphrase-file FILE  file with the delegation's passphrase alone
      --new-passphrase-fd NUMBER  the same, read from this file descriptor
                                  Passphrases are asked for on the terminal without these.
",
    options: &[
        "key",
        "periods",
        "from",
        "period-length",
        "output",
        "passphrase-file",
        "passphrase-fd",
        "new-passphrase-file",
        "new-passphrase-fd",
    ],
    prepare,
};

fn prepare(options: Options) -> Result<Work, lexopt::Error> {
    let (key, output, periods) = (options.file()?, options.output()?, options.periods()?);
    Ok(Box::new(move || delegate(&key, &output, periods, &options)))
}

fn delegate(key: &Path, output: &Path, periods: u16, options: &Options) -> Result<(), Problem> {
    output::must_be_absent(output)?;
    let identity = identity(&KeyFile::read(key, &options.passphrases)?.open()?)?;
    let span = issue::span(options.from.unwrap_or_else(now), options.period_length, periods);
    check_length(issue::length(span), span.count)?;
    let protection = Protection::choose(false, &options.new_passphrase, output)?;
    let bytes = issue::issue(&identity, span, &mut OsRng);
    // Read as the signer does, which verifies every certificate.
    Delegation::decode(&bytes).map_err(|error| Problem::new(format_args!("the delegation {error}")))?;
    output::create(output, &render(&Key::Delegation(bytes), &protection)?)?;
    say(identity.address());
    show::show_span(span);
    Ok(())
}

/// Fails if the file would be longer than a signer reads.
fn check_length(bytes: usize, periods: u16) -> Result<(), Problem> {
    // A line of PEM has 65 bytes for 48; the first and the last line, salt and code have less than 500.
    let file = bytes / 48 * 65 + 500;
    if file <= MAX_LENGTH {
        return Ok(());
    }
    Err(Problem::new(format_args!(
        "a delegation for {periods} periods takes {file} bytes, a signer reads at most {MAX_LENGTH}: ask for fewer"
    )))
}

fn identity(key: &Key) -> Result<IdentitySecret, Problem> {
    match secret(key)? {
        Secret::V2(_) => Err(Problem::new(
            "a v2 service cannot delegate, because its own key signs each descriptor: give the key of a v3 service",
        )),
        Secret::V3(Authority::Identity(identity)) => Ok(identity),
        Secret::V3(Authority::Delegation(_)) => {
            Err(Problem::new("a delegation cannot be delegated: give the service's own key"))
        }
    }
}
