//! From a command line to a server in a process that can do nothing else any more. The order matters:
//! [`crate::system`] has it.

use std::fmt::Display;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{self, ExitCode};

use onionbalance_proto::config::ConfigError;

use crate::config_file::ConfigFile;
use crate::keys::passphrase::Source;
use crate::log::{self, Priority};
use crate::serve::{Outside, Server, listen, not_ready};
use crate::setup::{self, Reloaded, Setup};
use crate::system::activation::Notifier;
use crate::system::confinement::{self, Files};
use crate::system::guard::Guard;
use crate::system::secret_memory::Kind;
use crate::system::signals::{self, Signals};
use crate::system::{activation, user};

/// `EX_CONFIG` of sysexits.h: starting again will not help.
const BAD_CONFIGURATION: u8 = 78;
/// As other programs end that do not understand their command line.
const BAD_USAGE: u8 = 2;
/// Something may be different the next time.
const FAILED: u8 = 1;
/// Services of which the log says something, at the start and at a reload.
const MAX_LISTED: usize = 100;

/// Serves by the configuration at `config`: the stream that is standard input if `inherited`, else the peers that connect.
pub fn serve(config: &Path, inherited: bool, passphrases: &Source) -> ExitCode {
    // First of all, so that each later failure can be told to the balancers that wait there.
    let handed_over = match handed_over(inherited) {
        Ok(listener) => listener,
        Err(problem) => return ExitCode::from(problem.end()),
    };
    match prepare(config, inherited, handed_over.as_ref(), passphrases) {
        Ok(Ready { config, mut server, listener, mut outside }) => {
            let outcome = server.serve(listener.as_ref(), &mut outside, |server| reload(&config, server));
            let status = outside.guard.watch(|| {
                let failed = |error| Problem::passing(format_args!("the socket failed: {error}")).end();
                let status = outcome.map_or_else(failed, |()| 0);
                log::finish();
                // Wipes the keys.
                drop(server);
                status
            });
            // The listener is left to the kernel: connections wait there, and descriptors with them. The close of a socket does
            // not linger in a process that ends (`inet_release`, `PF_EXITING`).
            process::exit(status.into())
        }
        Err(problem) => problem.reply_and_end(handed_over.as_ref()),
    }
}

/// The socket of the service manager, if there is one.
fn handed_over(inherited: bool) -> Result<Option<UnixListener>, Problem> {
    if inherited {
        return Ok(None);
    }
    let listener = activation::listener().map_err(Problem::lasting)?;
    listener.map(listen::prepare).transpose().map_err(Problem::passing)
}

/// Ends a process that does not come as far as [`serve`], as `serve` would.
pub fn fail(problem: &Problem) -> ExitCode {
    problem.reply_and_end(handed_over(false).ok().flatten().as_ref())
}

/// Why the signer does not serve, and the status to end with.
pub struct Problem {
    what: String,
    status: u8,
}

impl Problem {
    /// Starting again will not help.
    pub fn lasting(what: impl Display) -> Self {
        Self { what: what.to_string(), status: BAD_CONFIGURATION }
    }

    /// Something may be different the next time.
    fn passing(what: impl Display) -> Self {
        Self { what: what.to_string(), status: FAILED }
    }

    /// The command line is wrong.
    pub fn usage(what: impl Display) -> Self {
        Self { what: what.to_string(), status: BAD_USAGE }
    }

    /// Tells the operator, and the balancers that wait at `listener`.
    fn reply_and_end(&self, listener: Option<&UnixListener>) -> ExitCode {
        let status = self.end();
        if let (Some(listener), Ok(mut guard)) = (listener, Guard::new()) {
            guard.watch(|| not_ready::reply_to_all(listener, &self.what));
        }
        ExitCode::from(status)
    }

    /// Tells the operator. Returns the status to end with.
    fn end(&self) -> u8 {
        log::line(Priority::Error, &self.what);
        self.status
    }
}

/// A server before its first request.
struct Ready {
    config: ConfigFile,
    server: Server,
    /// None if the server has the one connection that it serves.
    listener: Option<UnixListener>,
    outside: Outside,
}

/// Everything up to the first request. The order matters: [`crate::system`] has it.
fn prepare(
    config: &Path,
    inherited: bool,
    handed_over: Option<&UnixListener>,
    passphrases: &Source,
) -> Result<Ready, Problem> {
    signals::prepare().map_err(Problem::lasting)?;
    let (config, mut setup) = load(config, passphrases)?;
    if setup.memory == Some(Kind::Locked) {
        log::line(
            Priority::Warning,
            "keys are in locked memory, which root can read: the kernel has no memfd_secret",
        );
    }
    if let Some(user) = &setup.user {
        user::become_user(user).map_err(Problem::lasting)?;
    }
    let mut place = None;
    let listener = match handed_over {
        _ if inherited => {
            let stream = listen::inherited().map_err(Problem::passing)?;
            setup.server.adopt(stream).map_err(Problem::passing)?;
            None
        }
        Some(listener) => {
            place = Some("the socket from the service manager".to_owned());
            Some(listener.try_clone().map_err(Problem::passing)?)
        }
        None => {
            let (listener, path) = bind(&config, setup.socket.as_deref())?;
            place = Some(path.display().to_string());
            Some(listener)
        }
    };
    let outside = Outside {
        signals: Signals::subscribe().map_err(Problem::passing)?,
        notifier: Notifier::connect().map_err(|error| unheard(&error))?,
        guard: Guard::new().map_err(Problem::passing)?,
    };
    log::prepare();
    confine(&config)?;
    outside.notifier.tell("READY=1").map_err(|error| unheard(&error))?;
    if let Some(place) = place {
        log_start(&setup, &place);
    }
    Ok(Ready { config, server: setup.server, listener, outside })
}

fn load(config: &Path, passphrases: &Source) -> Result<(ConfigFile, Setup), Problem> {
    // No passphrase is needed once the keys are read.
    let passphrases = passphrases.read().map_err(Problem::lasting)?;
    let config = ConfigFile::new(config).map_err(Problem::lasting)?;
    let setup = setup::load(&config, &passphrases).map_err(Problem::lasting)?;
    Ok((config, setup))
}

fn bind<'a>(config: &ConfigFile, socket: Option<&'a Path>) -> Result<(UnixListener, &'a Path), Problem> {
    let socket = socket.ok_or_else(|| {
        let file = config.path().display();
        Problem::lasting(format!("{file}: signer-socket-location is not set: say where to listen"))
    })?;
    Ok((listen::bind(socket).map_err(Problem::passing)?, socket))
}

fn log_start(setup: &Setup, place: &str) {
    log_services(&setup.summary);
    log_warnings(&setup.warnings);
    if user::is_root() {
        log::line(Priority::Warning, "running as root: set `signer-user` in the configuration to drop root");
    }
    log::line(Priority::Info, format_args!("listening on {place}"));
}

/// Gives up what serving does not need, and tries whether a reload can still read the configuration.
fn confine(config: &ConfigFile) -> Result<(), Problem> {
    // A directory that cannot be reached is told of below.
    let directories = config.directories().unwrap_or_default();
    match confinement::confine(&directories).map_err(Problem::lasting)? {
        Files::Restricted => {}
        Files::Open => log::line(
            Priority::Warning,
            "the kernel has no landlock, by which the signer gives up its files: boot it with landlock among lsm=",
        ),
    }
    if let Err(error) = config.check() {
        log::line(Priority::Warning, format_args!("SIGHUP will be refused: {error}"));
    }
    Ok(())
}

fn unheard(error: &io::Error) -> Problem {
    Problem::passing(format!("cannot tell the service manager at $NOTIFY_SOCKET that all is ready: {error}"))
}

/// A line for each service, up to [`MAX_LISTED`]: the journal drops what is too much at a time (journald.conf(5),
/// `RateLimitBurst=`).
fn log_services(lines: &[String]) {
    for line in lines.iter().take(MAX_LISTED) {
        log::line(Priority::Info, line);
    }
    if let Some(more) = lines.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        log::line(Priority::Info, format_args!("and {more} services more"));
    }
}

fn log_warnings(warnings: &[ConfigError]) {
    for warning in warnings.iter().take(MAX_LISTED) {
        log::line(Priority::Warning, warning);
    }
}

/// Reads the configuration again; a bad one changes nothing.
fn reload(config: &ConfigFile, server: &mut Server) {
    match setup::reload(config, server) {
        Ok(Reloaded { summary, warnings }) => {
            log_services(&summary);
            log_warnings(&warnings);
            log::line(Priority::Info, format_args!("reloaded {}", config.path().display()));
        }
        Err(error) => {
            log::line(
                Priority::Error,
                format_args!("reload refused, still running the previous configuration: {error}"),
            );
        }
    }
}
