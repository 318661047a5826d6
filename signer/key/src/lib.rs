//! `onionbalance-key`: makes keys, shows them, encrypts, imports and exports them, and delegates. None of this runs where the
//! signer serves.
//!
//! `options` reads the command line; `new`, `show`, `encrypt`, `import`, `export` and `delegate` are the commands; `key_file` opens
//! the file that any of them reads; `render` and `output` make the file that it writes. [`issue`] makes delegations.
//!
//! [`onionbalance_key_file`] reads and opens key files, and [`onionbalance_trust`] has the rule of who may have written one.
//! From the signer come the place for secrets and the computations with them, so that there is one such place; the protection of
//! the process; the reading of access lists, which takes `unsafe`; and the form of error lines.

mod delegate;
mod encoded;
mod encrypt;
mod export;
mod import;
pub mod issue;
mod key_file;
mod new;
mod new_passphrase;
mod options;
mod output;
mod render;
mod show;

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use onionbalance_key_file::Key;
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::log::{self, Priority};
use onionbalance_signer::system::secret_memory;

use self::options::Options;

const HELP: &str = "\
Makes and keeps the keys of onion services.

Usage: onionbalance-key COMMAND [OPTIONS]

  new       make a key
  show      show what a key file is, without its secret
  encrypt   encrypt a key
  import    take a key over from tor, mkp224o or Onionbalance
  export    write a key as tor has it
  delegate  issue what a signer needs for some time, without the key

Every file that is written is encrypted unless --plain is given or it is exported, and
readable for its owner alone. No file is ever overwritten. docs/keys.md is the manual.

  -h, --help     print this; after a command, what it takes
  -V, --version  print the version
";

const VERSION: &str = concat!("onionbalance-key ", env!("CARGO_PKG_VERSION"), "\n");

/// A command: its name, its help, the options that it knows, and how it gets ready for its work.
struct Command {
    name: &'static str,
    help: &'static str,
    options: &'static [&'static str],
    prepare: fn(Options) -> Result<Work, lexopt::Error>,
}

/// The work of a command whose options were accepted.
type Work = Box<dyn FnOnce() -> Result<(), Problem>>;

static COMMANDS: [&Command; 6] = [
    &new::COMMAND,
    &show::COMMAND,
    &encrypt::COMMAND,
    &import::COMMAND,
    &export::COMMAND,
    &delegate::COMMAND,
];

/// The request of a command line.
pub enum Task {
    /// To print this text.
    Print(&'static str),
    /// To do this.
    Run(Work),
}

/// The reason why a command failed, with the place and the remedy.
#[derive(Debug)]
pub struct Problem(String);

impl Problem {
    fn new(what: impl Display) -> Self {
        Self(what.to_string())
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the command line.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Task, lexopt::Error> {
    let word = match parser.next()? {
        None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) => return Ok(Task::Print(HELP)),
        Some(lexopt::Arg::Short('V') | lexopt::Arg::Long("version")) => return Ok(Task::Print(VERSION)),
        Some(lexopt::Arg::Value(word)) => word,
        Some(other) => return Err(other.unexpected()),
    };
    let Some(command) = COMMANDS.iter().find(|command| word == OsStr::new(command.name)) else {
        return Err(format!("there is no command `{}`", word.to_string_lossy()).into());
    };
    Ok(match options::parse(parser, command.options)? {
        None => Task::Print(command.help),
        Some(options) => Task::Run((command.prepare)(options)?),
    })
}

/// Does the work of a command. An error is a line on standard error, and the exit status 1.
pub fn run(work: Work) -> ExitCode {
    // A machine that never serves may have no secret memory. Locked memory is enough there: nobody else is on it.
    let reserved = secret_memory::reserve(SECRETS, true).map_err(Problem::new);
    match reserved.and_then(|_| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::line(Priority::Error, problem);
            ExitCode::FAILURE
        }
    }
}

/// Enough for a key, its blinded key, and a descriptor-signing key.
const SECRETS: usize = 8;

/// The address of the service with this key, with `.onion`.
fn address(key: &Key) -> Result<String, Problem> {
    Ok(match secret(key)? {
        Secret::V2(secret) => secret.address().to_string(),
        Secret::V3(authority) => authority.address().to_string(),
    })
}

/// The secret that a key is.
fn secret(key: &Key) -> Result<Secret, Problem> {
    keys::secret(key).map_err(Problem::new)
}

/// Prints a line of the answer.
fn say(line: impl Display) {
    // Where nobody reads the answer, the file is written all the same.
    let _ = writeln!(io::stdout(), "{line}");
}
