//! `onionbalance-signer`: see the library for what it does, `--help` for how to start it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, ValueExt};
use onionbalance_signer::keys::passphrase::Passphrases;
use onionbalance_signer::log::{self, Priority};
use onionbalance_signer::{listen, process, setup};

const HELP: &str = "\
Holds the keys of onion services and signs their descriptors for the balancer.

Usage: onionbalance-signer -c CONFIG [--inherited] [--passphrase-file FILE | --passphrase-fd NUMBER]

  -c, --config CONFIG  the configuration, the same file that onionbalance reads
                       [default: $ONIONBALANCE_CONFIG, else config.yaml]
      --inherited      serve the connected socket that is standard input, then end
                       (how onionbalance starts a signer of its own)
      --passphrase-file FILE
                       where the passphrases of encrypted keys stand, one a line
      --passphrase-fd NUMBER
                       the same, read from this file descriptor; without either
                       they are asked for on the terminal
  -h, --help           print this
  -V, --version        print the version
";

/// `EX_CONFIG` of sysexits.h: starting again will not help.
const BAD_CONFIGURATION: u8 = 78;

enum Start {
    Serve { config: PathBuf, inherited: bool, passphrases: PassphraseSource },
    Print(String),
}

enum PassphraseSource {
    Terminal,
    File(PathBuf),
    Descriptor(u32),
}

fn main() -> ExitCode {
    // Before a key is read, and before anything that could fail with one in memory.
    if let Err(error) = process::harden() {
        log::line(Priority::Error, format_args!("cannot protect the process's memory: {error}"));
        return ExitCode::FAILURE;
    }
    match arguments() {
        Ok(Start::Serve { config, inherited, passphrases }) => match read_passphrases(passphrases) {
            Ok(passphrases) => serve(&config, inherited, passphrases),
            Err(error) => {
                log::line(Priority::Error, error);
                ExitCode::from(BAD_CONFIGURATION)
            }
        },
        Ok(Start::Print(text)) => print(&text),
        Err(error) => {
            log::line(Priority::Error, format_args!("{error}; see --help"));
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Start, lexopt::Error> {
    let mut config = None;
    let mut inherited = false;
    let mut passphrases = PassphraseSource::Terminal;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('c') | Arg::Long("config") => config = Some(parser.value()?.into()),
            Arg::Long("inherited") => inherited = true,
            Arg::Long("passphrase-file") => passphrases = PassphraseSource::File(parser.value()?.into()),
            Arg::Long("passphrase-fd") => {
                passphrases = PassphraseSource::Descriptor(parser.value()?.parse()?);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Start::Print(HELP.to_owned())),
            Arg::Short('V') | Arg::Long("version") => {
                return Ok(Start::Print(format!("onionbalance-signer {}\n", env!("CARGO_PKG_VERSION"))));
            }
            other => return Err(other.unexpected()),
        }
    }
    let config = config
        .or_else(|| std::env::var_os("ONIONBALANCE_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("config.yaml"));
    Ok(Start::Serve { config, inherited, passphrases })
}

fn read_passphrases(source: PassphraseSource) -> Result<Passphrases, String> {
    match source {
        PassphraseSource::Terminal => Ok(Passphrases::Terminal),
        PassphraseSource::File(path) => Passphrases::read(&path)
            .map_err(|error| format!("the passphrase file {} {error}", path.display())),
        PassphraseSource::Descriptor(number) => Passphrases::read_descriptor(number)
            .map_err(|error| format!("the passphrase file descriptor {number} {error}")),
    }
}

fn serve(config: &Path, inherited: bool, passphrases: Passphrases) -> ExitCode {
    let loaded = setup::load(config, &passphrases);
    // No passphrase is needed from here on.
    drop(passphrases);
    let mut setup = match loaded {
        Ok(setup) => setup,
        Err(error) => {
            log::line(Priority::Error, error);
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let outcome = if inherited {
        listen::inherited().map(|stream| setup.server.serve_stream(stream))
    } else if let Some(socket) = &setup.socket {
        listen::bind(socket).map(|listener| {
            setup.summary.iter().for_each(|line| log::line(Priority::Info, line));
            log::line(Priority::Info, format_args!("serving at {}", socket.display()));
            setup.server.serve_listener(&listener)
        })
    } else {
        let file = config.display();
        log::line(
            Priority::Error,
            format_args!("{file}: signer-socket-location is not set: say where to listen"),
        );
        return ExitCode::from(BAD_CONFIGURATION);
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            log::line(Priority::Error, format_args!("the socket failed: {error}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            log::line(Priority::Error, error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
