//! The values that may come from the command line or from the environment: tors, sockets and files, the log.

use std::path::PathBuf;

use onionbalance_proto::config::{METRICS_LISTEN, TOR_SOCKS};

use super::{Dump, SECRET, Source, endpoints, path_scalar, scalar};
use crate::cli::{Arguments, CheckOptions};
use crate::config::StatusForm;
use crate::endpoint::Endpoint;
use crate::environment::{directory, path_variable, variable};

const STATUS: &str = "ONIONBALANCE_STATUS_SOCKET_LOCATION";
const STATUS_GROUP: &str = "status-socket-group";
const STATUS_MODE: &str = "status-socket-mode";
const CONTROL: &str = "control-socket-location";
const PASSWORD: &str = "ONIONBALANCE_TOR_CONTROL_PASSWORD";
const TOR_SOCKET: &str = "ONIONBALANCE_TOR_CONTROL_SOCKET";

impl Dump<'_> {
    /// Adds the tors of services that name none, and what concerns all tors.
    pub(super) fn tors(&mut self, options: &CheckOptions, arguments: &Arguments) {
        match self.configuration.tors().filter(|_| !arguments.has_tor()) {
            Some(tors) => self.line(&format!("tor: {}", endpoints(&tors)), self.in_file("tor")),
            None => {
                for endpoint in arguments.endpoints(&self.configuration.tor()) {
                    self.endpoint(&endpoint, options);
                }
            }
        }
        let in_variable = variable(PASSWORD).map(|_| Source::Variable(PASSWORD));
        let in_file = self.configuration.contents().control_password.as_ref();
        let source = in_variable.or(in_file.map(|_| self.in_file("tor-control-password")));
        self.optional("tor-control-password", source.map(|source| (SECRET.to_owned(), source)));
        let socks =
            self.configuration.socks().map(|socks| (scalar(&socks.to_string()), self.in_file(TOR_SOCKS)));
        self.optional(TOR_SOCKS, socks);
        let hint = self.configuration.tuning().tor_restart_hint.map(|hint| hint.to_string());
        self.optional("tor-restart-hint", hint.map(|hint| (hint, self.in_file("tor-restart-hint"))));
    }

    /// A place of the tor that the command line, the file or the environment names.
    fn endpoint(&mut self, endpoint: &Endpoint, options: &CheckOptions) {
        let has_tor = options.tor.is_some();
        let is_named = |is_this: bool, dump: &Self, key: &str| {
            if has_tor && is_this { Source::CommandLine } else { dump.default_of(key) }
        };
        match endpoint {
            Endpoint::Unix(path) => {
                let source = match is_named(true, self, "TOR_CONTROL_SOCKET") {
                    Source::Default if path_variable(TOR_SOCKET).is_some() => Source::Variable(TOR_SOCKET),
                    source => source,
                };
                self.line(&format!("TOR_CONTROL_SOCKET: {}", path_scalar(path)), source);
            }
            Endpoint::Tcp { host, port } => {
                let is_port = options.names_port();
                let source = is_named(is_port, self, "TOR_ADDRESS");
                self.line(&format!("TOR_ADDRESS: {}", scalar(host.as_str())), source);
                self.line(&format!("TOR_PORT: {port}"), is_named(is_port, self, "TOR_PORT"));
            }
        }
    }

    /// Adds the sockets of the status, and the file of the state.
    pub(super) fn places(&mut self) {
        let in_variable = path_variable(STATUS);
        for place in self.configuration.status_sockets(in_variable.clone(), directory("RUNTIME_DIRECTORY")) {
            let (key, in_file) = match place.form {
                StatusForm::Json => ("status-socket-location", &self.configuration.contents().status_socket),
                StatusForm::Text => {
                    ("STATUS_SOCKET_LOCATION", &self.configuration.contents().status_text_socket)
                }
            };
            let is_files =
                in_file.as_ref().is_some_and(|path| self.configuration.relative(path) == place.path);
            let source = match (&in_variable, place.form) {
                (Some(path), _) if *path == place.path => Source::Variable(STATUS),
                _ if is_files => self.in_file(key),
                (_, StatusForm::Json) => Source::Variable("RUNTIME_DIRECTORY"),
                (_, StatusForm::Text) => Source::Default,
            };
            self.line(&format!("{key}: {}", path_scalar(&place.path)), source);
        }
        let contents = self.configuration.contents();
        let group = contents.status_socket_group.as_deref();
        self.optional(STATUS_GROUP, group.map(|name| (scalar(name), self.in_file(STATUS_GROUP))));
        let mode = format!("{STATUS_MODE}: {}", contents.status_socket_mode);
        self.line(&mode, self.default_of(STATUS_MODE));
        let control = self.configuration.control(in_variable, directory("RUNTIME_DIRECTORY"));
        let source = if contents.control_socket.is_some() { self.in_file(CONTROL) } else { Source::Default };
        self.optional(CONTROL, control.map(|place| (path_scalar(&place.path), source)));
        let metrics =
            contents.metrics_listen.as_ref().map(|place| match self.configuration.metrics_socket() {
                Some(path) => path_scalar(&path),
                None => scalar(&place.to_string()),
            });
        self.optional(METRICS_LISTEN, metrics.map(|place| (place, self.in_file(METRICS_LISTEN))));
        let key = "state-file-location";
        let in_file = self.configuration.contents().state_file.is_some();
        let source = if in_file { self.in_file(key) } else { Source::Variable("STATE_DIRECTORY") };
        let state = self.configuration.state_file(directory("STATE_DIRECTORY"));
        self.optional(key, state.map(|path| (path_scalar(&path), source)));
    }

    /// Adds the level, the addresses and the file of the log.
    pub(super) fn log(&mut self) {
        let settings = self.configuration.log();
        let level = settings.level.map(|level| format!("{level:?}").to_lowercase());
        match (level, variable("ONIONBALANCE_LOG_LEVEL")) {
            (None, Some(level)) => {
                let source = Source::Variable("ONIONBALANCE_LOG_LEVEL");
                self.line(&format!("LOG_LEVEL: {}", scalar(&level)), source);
            }
            (level, _) => self.key("LOG_LEVEL", level, "info"),
        }
        match (settings.addresses, variable("ONIONBALANCE_LOG_ADDRESSES")) {
            (None, Some(form)) => {
                let source = Source::Variable("ONIONBALANCE_LOG_ADDRESSES");
                self.line(&format!("LOG_ADDRESSES: {}", scalar(&form)), source);
            }
            (form, _) => self.key("LOG_ADDRESSES", form.map(|form| form.to_string()), "short"),
        }
        let in_file = settings.location.map(|path| (path, self.in_file("LOG_LOCATION")));
        let in_variable = || {
            let path = path_variable("ONIONBALANCE_LOG_LOCATION")?;
            Some((path, Source::Variable("ONIONBALANCE_LOG_LOCATION")))
        };
        let found = in_file.or_else(in_variable);
        self.optional("LOG_LOCATION", found.map(|(path, source): (PathBuf, _)| (path_scalar(&path), source)));
    }
}
