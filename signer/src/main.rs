//! `onionbalance-signer`: see the library for what it does, `--help` for how to start it.

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, ValueExt};
use onionbalance_key_file::passphrase::Source;
use onionbalance_signer::start::{self, Options, Problem};
use onionbalance_signer::system::hardening;
use onionbalance_signer::{check, help};

fn main() -> ExitCode {
    // First of all: a later failure could leave a key in a core file.
    let hardened = hardening::harden()
        .map_err(|error| Problem::lasting(format_args!("cannot protect the process's memory: {error}")));
    match hardened.and_then(|()| arguments().map_err(Problem::usage)).transpose() {
        Some(Ok(Task::Check(options))) => check::run(&options),
        Some(Ok(Task::Serve(options))) => start::serve(Ok(options)),
        Some(Err(problem)) => start::serve(Err(problem)),
        None => ExitCode::SUCCESS,
    }
}

/// The task that a command line gives.
enum Task {
    /// To serve.
    Serve(Options),
    /// To open the keys and end.
    Check(Options),
}

/// The task; `None` if the command line asks for a text, which is printed then.
fn arguments() -> Result<Option<Task>, lexopt::Error> {
    let mut config = None;
    let (mut inherited, mut is_check) = (false, false);
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
            Arg::Short('h') | Arg::Long("help") => return Ok(print(help::HELP)),
            Arg::Short('V') | Arg::Long("version") => return Ok(print(&help::version())),
            Arg::Value(word) if word == "check" && !is_check => is_check = true,
            Arg::Value(word) if word == "key" => return Err("keys are made by onionbalance-key".into()),
            other => return Err(other.unexpected()),
        }
    }
    let config = config
        .or_else(|| std::env::var_os("ONIONBALANCE_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("config.yaml"));
    let options = Options { config, inherited, passphrases };
    match (is_check, inherited) {
        (true, true) => Err("check serves nobody: leave out --inherited".into()),
        (true, false) => Ok(Some(Task::Check(options))),
        (false, _) => Ok(Some(Task::Serve(options))),
    }
}

/// The credential of the service manager under this name (systemd.exec(5), `LoadCredential=`); `None` without
/// one.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("passphrase");
    // A credential that cannot be looked at is refused where it is read, with the reason.
    path.try_exists().unwrap_or(true).then_some(path)
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn print(text: &str) -> Option<Task> {
    print!("{text}");
    None
}
