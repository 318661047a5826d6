//! From a command line to a server in a process that can do nothing else any more. The order matters:
//! [`crate::system`] has it.

use std::fmt::Display;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::keys::passphrase::Passphrases;
use crate::listen;
use crate::log::{self, Priority};
use crate::serve::Server;
use crate::setup::{self, Setup};
use crate::system::activation::Notifier;
use crate::system::confinement::{self, Files};
use crate::system::reload::ReloadRequests;
use crate::system::secret_memory::Kind;
use crate::system::{activation, user};

/// `EX_CONFIG` of sysexits.h: starting again will not help.
pub const BAD_CONFIGURATION: u8 = 78;
/// Something may be different the next time.
const FAILED: u8 = 1;

/// Serves by the configuration at `config`: the stream that is standard input if `inherited`, else whoever connects.
pub fn serve(config: &Path, inherited: bool, passphrases: Passphrases) -> ExitCode {
    let loaded = setup::load(config, &passphrases).map_err(Problem::lasting);
    // No passphrase is needed from here on.
    drop(passphrases);
    let outcome = loaded.and_then(|setup| {
        let (mut server, socket) = prepare(config, inherited, setup)?;
        let end = match socket {
            Socket::Stream(stream) => server.serve_stream(stream),
            Socket::Listener(listener, _) => server.serve_listener(&listener),
        };
        end.map_err(|error| Problem::passing(format!("the socket failed: {error}")))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem { what, status }) => {
            log::line(Priority::Error, what);
            ExitCode::from(status)
        }
    }
}

/// What stands in the way, and the status to end with.
struct Problem {
    what: String,
    status: u8,
}

impl Problem {
    fn lasting(what: impl Display) -> Self {
        Self { what: what.to_string(), status: BAD_CONFIGURATION }
    }

    fn passing(what: impl Display) -> Self {
        Self { what: what.to_string(), status: FAILED }
    }
}

/// Where requests come from.
enum Socket {
    Stream(UnixStream),
    /// And what to call it.
    Listener(UnixListener, String),
}

fn prepare(config: &Path, inherited: bool, setup: Setup) -> Result<(Server, Socket), Problem> {
    let Setup { mut server, socket, user, memory, summary } = setup;
    if memory == Some(Kind::Locked) {
        log::line(
            Priority::Warning,
            "keys are in locked memory, which root can read: the kernel has no memfd_secret",
        );
    }
    if let Some(user) = &user {
        user::become_user(user).map_err(Problem::lasting)?;
    }
    let socket = open(config, inherited, socket)?;
    let requests = ReloadRequests::subscribe().map_err(Problem::passing)?;
    let file = config.to_owned();
    server.at_reload(requests, move |server| reload(&file, server));
    log::prepare();
    let notifier = Notifier::connect().map_err(|error| unheard(&error))?;
    confine(config)?;
    notifier.tell("READY=1").map_err(|error| unheard(&error))?;
    if let Socket::Listener(_, name) = &socket {
        log_all(&summary);
        if user::is_root() {
            let what =
                "runs as root: set signer-user, and the signer becomes that user once it has read the keys";
            log::line(Priority::Warning, what);
        }
        log::line(Priority::Info, format_args!("serving at {name}"));
    }
    Ok((server, socket))
}

fn open(config: &Path, inherited: bool, socket: Option<PathBuf>) -> Result<Socket, Problem> {
    if inherited {
        return listen::inherited().map(Socket::Stream).map_err(Problem::passing);
    }
    if let Some(listener) = activation::listener().map_err(Problem::lasting)? {
        return Ok(Socket::Listener(listener, "the service manager's socket".to_owned()));
    }
    let socket = socket.ok_or_else(|| {
        let file = config.display();
        Problem::lasting(format!("{file}: signer-socket-location is not set: say where to listen"))
    })?;
    let listener = listen::bind(&socket).map_err(Problem::passing)?;
    Ok(Socket::Listener(listener, socket.display().to_string()))
}

/// Gives up what serving does not need.
fn confine(config: &Path) -> Result<(), Problem> {
    let directory = config.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    match confinement::confine(directory).map_err(Problem::passing)? {
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

fn log_all(lines: &[String]) {
    for line in lines {
        log::line(Priority::Info, line);
    }
}

/// Reads the configuration anew; a bad one changes nothing.
fn reload(config: &Path, server: &mut Server) {
    match setup::reload(config, server) {
        Ok(summary) => {
            log_all(&summary);
            log::line(Priority::Info, format_args!("read {} anew", config.display()));
        }
        Err(error) => {
            log::line(Priority::Error, format_args!("the configuration stays as it was: {error}"));
        }
    }
}
