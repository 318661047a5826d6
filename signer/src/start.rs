//! From the command line to a server in a confined process. [`crate::system`] has the order and its reasons.

use std::fmt::Display;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{self, ExitCode};

use nix::sys::signal::Signal;
use onionbalance_key_file::passphrase::Source;
use onionbalance_process::BAD_CONFIGURATION;

use crate::config_file::ConfigFile;
use crate::log::{self, Priority};
use crate::serve::{Outside, Server, listen, not_ready};
use crate::setup;
use crate::system::activation::{self, Notifier};
use crate::system::confinement;
use crate::system::guard::Guard;
use crate::system::signals::{self, Signals};

/// The options of the command line.
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// True to serve the stream that is standard input and no other.
    pub inherited: bool,
    /// The source of the passphrases of encrypted keys.
    pub passphrases: Source,
}

/// Serves by the configuration: the stream that is standard input if it is inherited, else the peers that
/// connect. An `Err` in place of options is a problem that was found before. Any problem is also reported to
/// the balancers that wait at the service manager's socket.
pub fn serve(options: Result<Options, Problem>) -> ExitCode {
    // First of all, so that each later problem can be reported to the balancers that wait there.
    let handed_over = match handed_over() {
        Ok(listener) => listener,
        Err(problem) => return options.err().unwrap_or(problem).end().into(),
    };
    match options.and_then(|options| prepare(&options, handed_over)) {
        Ok((config, server, outside)) => run(&config, server, outside),
        Err(problem) => problem.reply_and_end(handed_over),
    }
}

/// The service manager's socket; `None` without one.
fn handed_over() -> Result<Option<&'static UnixListener>, Problem> {
    let listener = activation::listener().map_err(Problem::lasting)?;
    listener.map(listen::prepare).transpose().map_err(Problem::passing)
}

/// Everything up to the first request. [`crate::system`] has the order and its reasons.
fn prepare(
    options: &Options,
    handed_over: Option<&'static UnixListener>,
) -> Result<(ConfigFile, Server, Outside), Problem> {
    signals::prepare().map_err(Problem::lasting)?;
    let passphrases = options.passphrases.read().map_err(Problem::lasting)?;
    let config_file = ConfigFile::new(&options.config).map_err(Problem::lasting)?;
    let setup = setup::load(&config_file, &passphrases).map_err(Problem::lasting)?;
    // No passphrase is needed after the keys were read.
    drop(passphrases);
    if let Some(user) = &setup.user {
        let refused = |error| Problem::lasting(format_args!("cannot become the user {}: {error}", user.name));
        onionbalance_process::become_user(user).map_err(refused)?;
    }
    let mut place = "the socket from the service manager".to_owned();
    let mut listener = handed_over;
    let mut stream = None;
    if options.inherited {
        listener = None;
        stream = Some(listen::inherited().map_err(Problem::passing)?);
    } else if listener.is_none() {
        let file = config_file.path().display();
        let unset = || format!("{file}: signer-socket-location is not set: say where to listen");
        let path = setup.config.signer_socket.as_deref().ok_or_else(unset).map_err(Problem::lasting)?;
        let path = config_file.relative(path);
        listener = Some(listen::bind(&path).map_err(Problem::passing)?);
        place = path.display().to_string();
    }
    let unheard = |error| {
        let what = "cannot tell the service manager at $NOTIFY_SOCKET that all is ready";
        Problem::passing(format_args!("{what}: {error}"))
    };
    let outside = Outside {
        signals: Signals::subscribe().map_err(Problem::passing)?,
        notifier: Notifier::connect().map_err(unheard)?,
        guard: Guard::new().map_err(Problem::passing)?,
    };
    log::prepare();
    let server = Server::new(setup.services, setup.allowed, &setup.config, listener, stream)
        .map_err(Problem::passing)?;
    confine(&config_file)?;
    outside.notifier.tell("READY=1").map_err(unheard)?;
    if listener.is_some() {
        setup.report.log();
        if onionbalance_process::is_root() {
            let what = "running as root: set `signer-user` in the configuration to drop root";
            log::line(Priority::Warning, what);
        }
        log::line(Priority::Info, format_args!("listening on {place}"));
    }
    Ok((config_file, server, outside))
}

/// Gives up what serving does not need, and checks that a reload can still read the configuration.
fn confine(config: &ConfigFile) -> Result<(), Problem> {
    // A directory that cannot be reached makes `open` below fail, with the reason.
    let directories = config.directories().unwrap_or_default();
    if !confinement::confine(&directories).map_err(Problem::lasting)? {
        log::line(
            Priority::Warning,
            "the kernel has no landlock, by which the signer gives up its files: boot it with landlock among lsm=",
        );
    }
    if let Err(error) = config.open() {
        log::line(Priority::Warning, format_args!("SIGHUP will be refused: {error}"));
    }
    Ok(())
}

/// Serves until a signal asks the process to end, or the only connection has ended.
fn run(config: &ConfigFile, mut server: Server, mut outside: Outside) -> ExitCode {
    let ended = loop {
        match server.serve(&mut outside) {
            Ok(Some(Signal::SIGHUP)) => reload(config, &mut server),
            ended => break ended,
        }
    };
    let status = match ended {
        Ok(Some(signal)) => {
            log::line(Priority::Info, format_args!("ending: {signal}"));
            0
        }
        Ok(None) => 0,
        Err(error) => Problem::passing(format_args!("the socket failed: {error}")).end(),
    };
    log::finish();
    // This wipes the keys.
    drop(server);
    // The guard stays armed to the end: nothing is left for `main` to close.
    process::exit(status.into())
}

/// Reads the configuration again; one that is not valid changes nothing.
fn reload(config: &ConfigFile, server: &mut Server) {
    match setup::reload(config, server) {
        Ok(report) => {
            report.log();
            log::line(Priority::Info, format_args!("reloaded {}", config.path().display()));
        }
        Err(error) => {
            let what = format_args!("reload refused, still running the previous configuration: {error}");
            log::line(Priority::Error, what);
        }
    }
}

/// The reason for which the signer does not serve, and the exit status.
pub struct Problem {
    what: String,
    status: u8,
}

impl Problem {
    /// A problem that a restart does not solve.
    pub fn lasting(what: impl Display) -> Self {
        Self { what: what.to_string(), status: BAD_CONFIGURATION }
    }

    /// A problem that may be gone at the next start.
    fn passing(what: impl Display) -> Self {
        Self { what: what.to_string(), status: 1 }
    }

    /// A wrong command line. Other programs end with this status for theirs.
    pub fn usage(what: impl Display) -> Self {
        log::leave_out_time();
        Self { what: format!("{what}; see --help"), status: 2 }
    }

    /// Reports the problem to the operator, and to the balancers that wait at `listener`.
    fn reply_and_end(&self, listener: Option<&UnixListener>) -> ExitCode {
        let status = self.end();
        if let (Some(listener), Ok(mut guard)) = (listener, Guard::new()) {
            guard.arm();
            not_ready::reply_to_all(listener, &self.what);
        }
        status.into()
    }

    /// Reports the problem to the operator. Returns the exit status.
    pub(crate) fn end(&self) -> u8 {
        log::line(Priority::Error, &self.what);
        self.status
    }
}
