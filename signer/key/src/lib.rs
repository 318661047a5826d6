//! `onionbalance-key`: makes, shows, encrypts, imports, exports and delegates keys. The signer does none of
//! this itself.
//!
//! `options` reads the command line; `new`, `show`, `encrypt`, `import`, `export` and `delegate` are the
//! commands; `key_file` opens the file that a command reads; `render` and `output` make the file that it
//! writes. [`issue`] makes delegations.
//!
//! [`onionbalance_key_file`] reads and opens key files, and [`onionbalance_trust`] has the rule for their
//! writers and readers. The signer's library provides the memory for secrets and the computations with them,
//! the protection of the process, the reading of access lists, which needs `unsafe`, and the form of error
//! lines.

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
use std::sync::LazyLock;

use onionbalance_key_file::Key;
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::log::{self, Priority};
use onionbalance_signer::system::secret_memory;

use self::options::Options;

/// The help of the program. [`commands`] has those of its commands.
pub const HELP: &str = "\
Makes and keeps the keys of onion services.

Usage: onionbalance-key COMMAND [OPTIONS]

  new       make a key
  show      show the address and the form of a key file
  encrypt   encrypt a key
  import    import a key from tor, mkp224o or Onionbalance
  export    write a key in tor's form
  delegate  issue the keys that a signer needs for some time

Written files are readable for their owner alone, and encrypted unless --plain is given
or the key is exported. No file is ever overwritten. The manual is onionbalance-key(1).

  -h, --help     print this help, or a command's help after its name
  -V, --version  print the version
";

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("onionbalance-key {}\n", onionbalance_process::version(None)));

/// A command: its name, its help, its options, and the function that turns the options into its work.
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

/// The name and the help of each command, of which the manual page is made.
pub fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().map(|command| (command.name, command.help))
}

/// The request of a command line.
pub enum Task {
    /// Print this text.
    Print(&'static str),
    /// Do this work.
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
///
/// # Errors
/// A command or option is unknown, or a value is missing or malformed.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Task, lexopt::Error> {
    let word = match parser.next()? {
        None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) => return Ok(Task::Print(HELP)),
        Some(lexopt::Arg::Short('V') | lexopt::Arg::Long("version")) => return Ok(Task::Print(&VERSION)),
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

/// Does the work of a command. If it fails, prints a line on standard error and returns the exit status 1.
pub fn run(work: Work) -> ExitCode {
    // A machine that keeps keys offline may have a kernel without secret memory. Locked memory is enough
    // there, because it has no other users.
    let reserved = secret_memory::reserve(SECRETS, true).map_err(Problem::new);
    match reserved.and_then(|_| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::line(Priority::Error, problem);
            ExitCode::FAILURE
        }
    }
}

/// The number of secrets: enough for a key, its blinded key, and a descriptor-signing key.
const SECRETS: usize = 8;

/// The address of the service with this key, with `.onion`. Fails if the key is not usable.
fn address(key: &Key) -> Result<String, Problem> {
    Ok(match secret(key)? {
        Secret::V2(secret) => secret.address().to_string(),
        Secret::V3(authority) => authority.address().to_string(),
    })
}

/// The secret of this key. Fails if the key is not usable.
fn secret(key: &Key) -> Result<Secret, Problem> {
    keys::secret(key).map_err(Problem::new)
}

/// Prints a line on standard output.
fn say(line: impl Display) {
    // The file is written already, so that a closed standard output is not an error.
    let _ = writeln!(io::stdout(), "{line}");
}
