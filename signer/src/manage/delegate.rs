//! `key delegate`: issues what a signer needs for some time, where the identity key is.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{PeriodLength, TimePeriod};
use rand_core::OsRng;

use super::key_file::KeyFile;
use super::options::Options;
use super::render::{Key, Protection};
use super::{Command, Problem, Work, output, say, show};
use crate::keys::MAX_LENGTH;
use crate::keys::v3::{self, Contents};
use crate::v3::authority::Authority;
use crate::v3::delegation::Delegation;
use crate::v3::delegation::offset;
use crate::v3::secret::IdentitySecret;

pub(super) static COMMAND: Command = Command {
    name: "delegate",
    help: "\
Issues what a signer needs to publish a version 3 service for some time periods, without
the service's key: for a machine without network, which alone keeps that. The file is
encrypted. Who has it and its passphrase is the service until its last period ends, and
nothing can take that back.

Usage: onionbalance-signer key delegate --key FILE --periods NUMBER -o FILE [OPTIONS]

      --key FILE                  the service's key
      --periods NUMBER            how many periods, from the present one on; the one before
                                  goes with it as long as its descriptor is published
      --from TIME                 take this as the present, YYYY-MM-DD or
                                  'YYYY-MM-DD HH:MM:SS', UTC
      --period-length MINUTES     of the network's periods [default: 1440, the public
                                  network's]
  -o, --output FILE               the delegation to write; must not exist
      --passphrase-file FILE      where the passphrases of encrypted keys stand, one a line
      --passphrase-fd NUMBER      the same, read from this file descriptor
      --new-passphrase-file FILE  the delegation's passphrase stands in this file, alone
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
    KeyFile::read(key, &options.passphrases)?.open(|key| {
        let identity = identity(key)?;
        let (first, periods) = span(options.from.unwrap_or_else(now), options.period_length, periods);
        let protection = Protection::choose(false, &options.new_passphrase, output)?;
        let delegation =
            Delegation::issue(&identity, first, periods, &mut OsRng).map_err(Problem::new)?;
        let file = Key::V3(Contents::Delegation(&delegation.encode())).render(&protection)?;
        if file.len() > MAX_LENGTH {
            let what = format!(
                "a delegation for {periods} periods takes {} bytes, and a signer reads {MAX_LENGTH}: ask for fewer",
                file.len()
            );
            return Err(Problem::new(what));
        }
        output::create(output, &file)?;
        say(delegation.address());
        show::show_delegation(&delegation);
        Ok(())
    })
}

fn identity(key: Key<'_>) -> Result<IdentitySecret, Problem> {
    match key {
        Key::V2(_) => Err(Problem::new(
            "a version 2 service cannot delegate: its own key signs each descriptor. Only version 3 can",
        )),
        Key::V3(contents) => match v3::authority(contents).map_err(Problem::new)? {
            Authority::Identity(identity) => Ok(identity),
            Authority::Delegation(_) => {
                Err(Problem::new("a delegation cannot be delegated: give the service's own key"))
            }
        },
    }
}

/// The first of so many periods from the one that holds `now` on, and their number. In the first half of a period the
/// descriptor of the one before is published, too: it comes first then, and is one more.
fn span(now: UnixTime, length: PeriodLength, periods: u16) -> (TimePeriod, u16) {
    let present = TimePeriod::at(now, length, offset(length));
    let half = present.start(offset(length)).plus(length.seconds() / 2);
    if now < half { (present.previous(), periods.saturating_add(1)) } else { (present, periods) }
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_before_goes_along_while_it_is_published() {
        let noon: UnixTime = "2026-11-22 12:00:00".parse().unwrap();
        for (hours, first, periods) in
            [(0, 20_778, 4), (11, 20_778, 4), (12, 20_779, 3), (23, 20_779, 3), (24, 20_779, 4)]
        {
            let (found, number) = span(noon.plus(hours * 3600), PeriodLength::DAY, 3);
            assert_eq!((found.number, number), (first, periods), "{hours} h after the period began");
        }
    }
}
