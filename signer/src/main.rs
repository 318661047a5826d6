//! `onionbalance-signer`: see the library for what it does, `--help` for how to start it.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, ValueExt};
use onionbalance_key_file::passphrase::Source;
use onionbalance_signer::log;
use onionbalance_signer::start::{self, Options, Problem};
use onionbalance_signer::system::hardening;

const HELP: &str = "\
Holds the keys of onion services and signs their descriptors for the balancer.

Usage: onionbalance-signer -c CONFIG [--inherited] [--passphrase-file FILE | --passphrase-fd NUMBER]

Keys are made and converted by onionbalance-key.

  -c, --config CONFIG  the configuration, the same file that onionbalance reads
                       [default: $ONIONBALANCE_CONFIG, else config.yaml]
      --inherited      serve the connected socket that is standard input, then end
                       (how onionbalance starts a signer of its own)
      --passphrase-file FILE
                       file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER
                       the same, read from this file descriptor; without either
                       the systemd credential named passphrase, where there is
                       one, else they are asked for on the terminal
  -h, --help           print this
  -V, --version        print the version
";

enum Start {
    Serve(Options),
    Print(String),
    /// To say that another program makes keys.
    Hint(String),
}

fn main() -> ExitCode {
    // Before a key is read, and before anything that could fail with one in memory.
    if let Err(error) = hardening::harden() {
        return Problem::lasting(format_args!("cannot protect the process's memory: {error}")).fail();
    }
    match arguments() {
        Ok(Start::Serve(options)) => start::serve(&options),
        Ok(Start::Print(text)) => print(&text),
        Ok(Start::Hint(text)) => wrong_usage(text),
        Err(error) => wrong_usage(format_args!("{error}; see --help")),
    }
}

fn arguments() -> Result<Start, lexopt::Error> {
    let mut config = None;
    let mut inherited = false;
    let mut passphrases = credential().map_or(Source::Terminal, Source::File);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('c') | Arg::Long("config") => config = Some(parser.value()?.into()),
            Arg::Long("inherited") => inherited = true,
            Arg::Long("passphrase-file") => passphrases = Source::File(parser.value()?.into()),
            Arg::Long("passphrase-fd") => {
                passphrases = Source::descriptor(parser.value()?.parse()?);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Start::Print(HELP.to_owned())),
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Start::Print(format!("onionbalance-signer {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Arg::Value(word) if word == "key" && config.is_none() => {
                return hint(&mut parser).map(Start::Hint);
            }
            other => return Err(other.unexpected()),
        }
    }
    let config = config
        .or_else(|| std::env::var_os("ONIONBALANCE_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("config.yaml"));
    Ok(Start::Serve(Options { config, inherited, passphrases }))
}

/// The command as the program takes it that makes keys.
fn hint(parser: &mut lexopt::Parser) -> Result<String, lexopt::Error> {
    let words: Vec<_> = parser.raw_args()?.map(|word| word.to_string_lossy().into_owned()).collect();
    let command = format!("onionbalance-key {}", words.join(" "));
    Ok(format!("keys are made by onionbalance-key: run `{}`", command.trim_end()))
}

/// The credential that the service manager hands over under this name (systemd.exec(5), `LoadCredential=`).
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("passphrase");
    path.exists().then_some(path)
}

fn wrong_usage(what: impl Display) -> ExitCode {
    log::leave_out_time();
    Problem::usage(what).fail()
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
