//! From a command line to a server in a process that can do nothing else any more. The order matters:
//! [`crate::system`] has it.

use std::fmt::Display;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onionbalance_proto::config::ConfigError;

use crate::keys::passphrase::Source;
use crate::log::{self, Priority};
use crate::serve::{Server, listen, not_ready};
use crate::setup::{self, Reloaded, Setup};
use crate::system::activation::Notifier;
use crate::system::confinement::{self, Files};
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

/// Serves by the configuration at `config`: the stream that is standard input if `inherited`, else whoever connects.
pub fn serve(config: &Path, inherited: bool, passphrases: &Source) -> ExitCode {
    // First of all, so that each later failure can be told to the balancers that wait there.
    let handed_over = if inherited { Ok(None) } else { activation::listener() };
    let handed_over = match handed_over.map_err(Problem::lasting) {
        Ok(listener) => listener,
        Err(problem) => return problem.end(),
    };
    match load(config, passphrases).and_then(|setup| prepare(config, inherited, handed_over.as_ref(), setup))
    {
        Ok((server, socket)) => run(server, socket),
        Err(problem) => problem.reply_and_end(handed_over.as_ref()),
    }
}

/// Ends a process that does not come as far as [`serve`], as `serve` would.
pub fn fail(problem: &Problem) -> ExitCode {
    problem.reply_and_end(activation::listener().ok().flatten().as_ref())
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
        if let Some(listener) = listener {
            not_ready::reply_to_all(listener, &self.what);
        }
        status
    }

    fn end(&self) -> ExitCode {
        log::line(Priority::Error, &self.what);
        ExitCode::from(self.status)
    }
}

/// Where requests come from.
enum Socket<'a> {
    /// From the balancer that started this process.
    Stream(UnixStream),
    /// From the service manager.
    HandedOver(&'a UnixListener),
    /// Made at this path.
    Own(UnixListener, PathBuf),
}

fn load(config: &Path, passphrases: &Source) -> Result<Setup, Problem> {
    signals::prepare().map_err(Problem::lasting)?;
    // No passphrase is needed once the keys are read.
    let passphrases = passphrases.read().map_err(Problem::lasting)?;
    setup::load(config, &passphrases).map_err(Problem::lasting)
}

fn run(mut server: Server, socket: Socket<'_>) -> ExitCode {
    let end = match socket {
        Socket::Stream(stream) => server.serve_stream(stream),
        Socket::HandedOver(listener) => server.serve_listener(listener),
        Socket::Own(listener, _) => server.serve_listener(&listener),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Problem::passing(format_args!("the socket failed: {error}")).end(),
    }
}

fn prepare<'a>(
    config: &Path,
    inherited: bool,
    handed_over: Option<&'a UnixListener>,
    setup: Setup,
) -> Result<(Server, Socket<'a>), Problem> {
    let Setup { mut server, socket, user, memory, summary, warnings } = setup;
    if memory == Some(Kind::Locked) {
        log::line(
            Priority::Warning,
            "keys are in locked memory, which root can read: the kernel has no memfd_secret",
        );
    }
    if let Some(user) = &user {
        user::become_user(user).map_err(Problem::lasting)?;
    }
    let socket = match handed_over {
        _ if inherited => listen::inherited().map(Socket::Stream).map_err(Problem::passing)?,
        Some(listener) => Socket::HandedOver(listener),
        None => bind(config, socket)?,
    };
    let signals = Signals::subscribe().map_err(Problem::passing)?;
    let file = config.to_owned();
    server.obey(signals, move |server| reload(&file, server));
    log::prepare();
    let notifier = Notifier::connect().map_err(|error| unheard(&error))?;
    confine(config)?;
    notifier.tell("READY=1").map_err(|error| unheard(&error))?;
    let place = match &socket {
        Socket::Stream(_) => None,
        Socket::HandedOver(_) => Some("the service manager's socket".to_owned()),
        Socket::Own(_, path) => Some(path.display().to_string()),
    };
    if let Some(place) = place {
        log_services(&summary);
        log_warnings(&warnings);
        if user::is_root() {
            log::line(
                Priority::Warning,
                "running as root: set `signer-user` in the configuration to drop root",
            );
        }
        log::line(Priority::Info, format_args!("serving at {place}"));
    }
    Ok((server, socket))
}

fn bind(config: &Path, socket: Option<PathBuf>) -> Result<Socket<'static>, Problem> {
    let socket = socket.ok_or_else(|| {
        let file = config.display();
        Problem::lasting(format!("{file}: signer-socket-location is not set: say where to listen"))
    })?;
    let listener = listen::bind(&socket).map_err(Problem::passing)?;
    Ok(Socket::Own(listener, socket))
}

/// Gives up what serving does not need.
fn confine(config: &Path) -> Result<(), Problem> {
    let directory = config.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    match confinement::confine(directory).map_err(Problem::lasting)? {
        Files::Restricted => {}
        Files::Open => log::line(
            Priority::Warning,
            "the kernel has no landlock, by which the signer gives up its files: boot it with landlock among lsm=",
        ),
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
fn reload(config: &Path, server: &mut Server) {
    match setup::reload(config, server) {
        Ok(Reloaded { summary, warnings }) => {
            log_services(&summary);
            log_warnings(&warnings);
            log::line(Priority::Info, format_args!("reloaded {}", config.display()));
        }
        Err(error) => {
            log::line(
                Priority::Error,
                format_args!("reload refused, still running the previous configuration: {error}"),
            );
        }
    }
}
