//! The options of all commands. Each command lists those that it accepts.

use std::error::Error;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use onionbalance_key_file::passphrase::Source;
use onionbalance_proto::time::{TimeError, UnixTime};
use onionbalance_proto::v3::PeriodLength;

/// The options of one command line.
pub(crate) struct Options {
    file: Option<PathBuf>,
    output: Option<PathBuf>,
    periods: Option<u16>,
    /// The version of the onion service.
    pub(crate) version: Version,
    /// True: write without encryption.
    pub(crate) plain: bool,
    /// The beginning of a delegation; `None`: the present.
    pub(crate) from: Option<UnixTime>,
    /// The length of the network's time periods.
    pub(crate) period_length: PeriodLength,
    /// The passphrases of the key that is read.
    pub(crate) passphrases: Source,
    /// The passphrase of the file that is written.
    pub(crate) new_passphrase: Source,
}

/// A version of onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// RSA.
    V2,
    /// Ed25519.
    V3,
}

impl Options {
    /// The file to read. Fails if it is missing.
    pub(crate) fn file(&self) -> Result<PathBuf, lexopt::Error> {
        self.file.clone().ok_or_else(|| "the key file is missing".into())
    }

    /// The file to write. Fails if it is missing.
    pub(crate) fn output(&self) -> Result<PathBuf, lexopt::Error> {
        self.output.clone().ok_or_else(|| "-o FILE is missing: name the file to write".into())
    }

    /// The number of periods to delegate. Fails if it is missing or 0.
    pub(crate) fn periods(&self) -> Result<u16, lexopt::Error> {
        self.periods.filter(|periods| *periods > 0).ok_or_else(|| "--periods NUMBER is missing, or 0".into())
    }
}

/// Reads the options of a command that accepts these. `None`: its help was requested. Fails for any other
/// option, and for a missing or malformed value.
pub(crate) fn parse(parser: &mut Parser, known: &[&str]) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        file: None,
        output: None,
        periods: None,
        version: Version::V3,
        plain: false,
        from: None,
        period_length: PeriodLength::DAY,
        passphrases: Source::Terminal,
        new_passphrase: Source::Terminal,
    };
    while let Some(argument) = parser.next()? {
        let name = match &argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Short('o') => "output",
            Arg::Long(name) => name,
            Arg::Value(_) => "key",
            Arg::Short(_) => "",
        };
        // The name from the table outlives the argument, which borrows the parser until it has gone.
        let Some(name) = known.iter().find(|known| **known == name) else {
            return Err(argument.unexpected());
        };
        match argument {
            Arg::Value(file) if options.file.is_none() => options.file = Some(file.into()),
            Arg::Value(_) => return Err(argument.unexpected()),
            Arg::Short(_) | Arg::Long(_) => options.take(name, parser)?,
        }
    }
    Ok(Some(options))
}

impl Options {
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<(), lexopt::Error> {
        match name {
            "key" => self.file = Some(parser.value()?.into()),
            "output" => self.output = Some(parser.value()?.into()),
            "plain" => self.plain = true,
            "version" => self.version = parser.value()?.parse_with(version)?,
            "periods" => self.periods = Some(parser.value()?.parse()?),
            "from" => self.from = Some(parser.value()?.parse_with(moment)?),
            "period-length" => self.period_length = parser.value()?.parse_with(length)?,
            "passphrase-file" => self.passphrases = Source::File(parser.value()?.into()),
            "passphrase-fd" => self.passphrases = Source::descriptor(parser.value()?.parse()?),
            "new-passphrase-file" => self.new_passphrase = Source::File(parser.value()?.into()),
            "new-passphrase-fd" => self.new_passphrase = Source::descriptor(parser.value()?.parse()?),
            _ => {}
        }
        Ok(())
    }
}

fn version(text: &str) -> Result<Version, &'static str> {
    match text {
        "2" => Ok(Version::V2),
        "3" => Ok(Version::V3),
        _ => Err("onion services have version 2 or 3"),
    }
}

fn length(text: &str) -> Result<PeriodLength, Box<dyn Error + Send + Sync>> {
    Ok(PeriodLength::try_from(text.parse::<u16>()?)?)
}

/// Reads a day or a second, UTC. Fails for any other text.
fn moment(text: &str) -> Result<UnixTime, TimeError> {
    text.parse().or_else(|_| format!("{text} 00:00:00").parse())
}
