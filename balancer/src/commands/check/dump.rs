//! The effective configuration as YAML, with the source of each value. It is a valid configuration, except
//! for passwords and cookies, which are `***`.

mod environment;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use onionbalance_proto::config::{
    AllowedUser, Checking, HealthCheck, HttpProbe, InstanceV2, InstanceV3, Instances, Lines, Named,
    ProbeKind, Service, Weight, line_of_key,
};

use crate::cli::CheckOptions;
use crate::config::Configuration;
use crate::endpoint::Endpoint;
use crate::onion_version::OnionVersion;
use crate::v2::V2;
use crate::v3::V3;

/// The column of the sources, if the values leave room.
const COLUMN: usize = 60;

/// The text in place of a secret.
const SECRET: &str = "'***'";

/// The dump of this configuration, for a balancer with these options and this environment.
pub(super) fn render(options: &CheckOptions, configuration: &Configuration) -> String {
    let mut dump = Dump {
        configuration,
        lines: Lines::of(configuration.text()),
        text: format!("# The effective configuration of {}\n", configuration.path().display()),
    };
    dump.services();
    dump.tors(options, &options.balancer(configuration.path()));
    dump.signer();
    dump.places();
    dump.log();
    dump.pace();
    dump.text
}

/// The source of a value.
#[derive(Clone, Copy)]
enum Source {
    CommandLine,
    /// This variable of the environment.
    Variable(&'static str),
    /// The line of the configuration, counted from 1; `None`: a line of it.
    File(Option<usize>),
    Default,
}

struct Dump<'a> {
    configuration: &'a Configuration,
    lines: Lines<'a>,
    text: String,
}

impl Dump<'_> {
    /// Adds a line with the source of its value.
    fn line(&mut self, line: &str, source: Source) {
        let file = self.configuration.path().display();
        let source = match source {
            Source::CommandLine => "command line".to_owned(),
            Source::Variable(name) => format!("${name}"),
            Source::File(Some(line)) => format!("{file}:{line}"),
            Source::File(None) => file.to_string(),
            Source::Default => "default".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line:<COLUMN$}  # {source}");
    }

    /// Adds a key with the value in the file, else with the default.
    fn key(&mut self, key: &str, in_file: Option<String>, default: &str) {
        match in_file {
            Some(value) => self.line(&format!("{key}: {value}"), self.in_file(key)),
            None => self.line(&format!("{key}: {default}"), self.default_of(key)),
        }
    }

    /// Adds a key that may have no value.
    fn optional(&mut self, key: &str, found: Option<(String, Source)>) {
        match found {
            Some((value, source)) => self.line(&format!("{key}: {value}"), source),
            None => {
                let _ = writeln!(self.text, "# {key} is not set");
            }
        }
    }

    /// The place of a top-level key, by its name here or by the one in Onionbalance's first version.
    fn in_file(&self, key: &str) -> Source {
        let line = |key: &str| line_of_key(self.configuration.text(), key);
        let first = if key == "REFRESH_INTERVAL" { "refresh".to_owned() } else { key.to_lowercase() };
        let second = if key == "tor-control-password" { "TOR_CONTROL_PASSWORD" } else { &first };
        Source::File(line(key).or_else(|| line(second)))
    }

    /// The source of a value that may be the file's or the default.
    fn default_of(&self, key: &str) -> Source {
        match self.in_file(key) {
            Source::File(None) => Source::Default,
            in_file => in_file,
        }
    }

    fn value_in_file(&self, value: &str) -> Source {
        Source::File(self.lines.find(value))
    }

    fn services(&mut self) {
        self.line("services:", self.in_file("services"));
        for service in &self.configuration.contents().services {
            self.service(service);
        }
    }

    fn service(&mut self, service: &Service) {
        self.line(&format!("- key: {}", scalar(&service.key)), self.value_in_file(&service.key));
        if let Some(name) = &service.name {
            self.line(&format!("  name: {}", scalar(name.as_str())), self.value_in_file(name.as_str()));
        }
        if let Some(pool) = self.configuration.own_tors(service) {
            self.line(&format!("  tor: {}", endpoints(&pool.endpoints)), Source::File(None));
        }
        if service.tor_control_password.is_some() {
            self.line(&format!("  tor-control-password: {SECRET}"), Source::File(None));
        }
        if let Some(check) = &service.health_check {
            self.health_check(check, "  ");
        }
        match &service.instances {
            Instances::None => self.line("  instances: []", Source::Default),
            Instances::V2(instances) => {
                self.line("  instances:", Source::File(None));
                for instance in instances {
                    self.instance(InstanceV2::named(instance), instance.settings(), instance.auth.is_some());
                }
            }
            Instances::V3(instances) => {
                self.line("  instances:", Source::File(None));
                for instance in instances {
                    self.instance(InstanceV3::named(instance), instance.settings(), false);
                }
            }
        }
    }

    fn instance<A: ToString>(
        &mut self,
        Named(name, address): Named<'_, A>,
        (weight, checking): (Weight, &Checking),
        has_cookie: bool,
    ) {
        let address = address.to_string();
        let source = Source::File(self.lines.find_address(&address));
        self.line(&format!("  - address: {address}"), source);
        if let Some(name) = name {
            self.line(&format!("    name: {}", scalar(name.as_str())), self.value_in_file(name.as_str()));
        }
        if weight != Weight::default() {
            self.line(&format!("    weight: {weight}"), Source::File(None));
        }
        if has_cookie {
            self.line(&format!("    auth: {SECRET}"), Source::File(None));
        }
        match checking {
            Checking::OfService => {}
            Checking::Off => self.line("    health-check: off", Source::File(None)),
            Checking::Own(check) => self.health_check(check, "    "),
        }
    }

    /// Adds a health check with all of its values, those of the file and the defaults.
    fn health_check(&mut self, check: &HealthCheck, indent: &str) {
        let HealthCheck { port, kind, interval, timeout, fall, rise } = check;
        self.line(&format!("{indent}health-check:"), Source::File(None));
        let mut values = match kind {
            ProbeKind::Connect => vec![("kind", "connect".to_owned())],
            ProbeKind::Http(HttpProbe { path, host, expect, body }) => {
                let mut values = vec![("kind", "http".to_owned()), ("path", scalar(path))];
                values.extend(host.as_ref().map(|host| ("host", scalar(host))));
                values.push(("expect", expect.to_string()));
                // A text of several lines stays in one here.
                values.extend(
                    body.as_ref().map(|body| ("body", serde_json::Value::from(body.as_str()).to_string())),
                );
                values
            }
        };
        values.extend([
            ("port", port.to_string()),
            ("interval", format!("{}s", interval.as_secs())),
            ("timeout", format!("{}s", timeout.as_secs())),
            ("fall", fall.to_string()),
            ("rise", rise.to_string()),
        ]);
        for (key, value) in values {
            let _ = writeln!(self.text, "{indent}  {key}: {value}");
        }
    }

    fn signer(&mut self) {
        let config = self.configuration.contents();
        let path = |dump: &Self, key, path: &Path| {
            (path_scalar(&dump.configuration.relative(path)), dump.in_file(key))
        };
        let socket =
            config.signer_socket.as_deref().map(|socket| path(self, "signer-socket-location", socket));
        self.optional("signer-socket-location", socket);
        for (key, name) in [("user", &config.user), ("signer-user", &config.signer_user)] {
            let found = name.as_deref().map(|name| (scalar(name), self.in_file(key)));
            self.optional(key, found);
        }
        let users: Vec<String> = config.signer_allowed_users.iter().map(user).collect();
        let users = format!("[{}]", users.join(", "));
        self.line(&format!("signer-allowed-uids: {users}"), self.default_of("signer-allowed-uids"));
        for (key, value) in [
            ("signer-requests-per-minute", config.signer_requests_per_minute.to_string()),
            ("signer-allow-locked-memory", config.signer_allow_locked_memory.to_string()),
            ("signer-allow-readable-keys", config.signer_allow_readable_keys.to_string()),
        ] {
            self.line(&format!("{key}: {value}"), self.default_of(key));
        }
    }

    /// The keys of Onionbalance up to 0.1.8 for the pace and for the shape of descriptors.
    fn pace(&mut self) {
        let tuning = self.configuration.tuning();
        let seconds = |time: Duration| time.as_secs().to_string();
        let (v2, v3) = (V2::timing(tuning), V3::timing(tuning));
        self.key("REFRESH_INTERVAL", tuning.refresh.map(seconds), &seconds(v3.refresh));
        self.key("INITIAL_DELAY", tuning.initial_delay.map(seconds), &seconds(v3.settle));
        let period = tuning.upload_period.map(seconds);
        self.key("DESCRIPTOR_UPLOAD_PERIOD", period, &seconds(v2.republish_to));
        let points = tuning.max_points_v2.map(|points| points.to_string());
        self.key("MAX_INTRO_POINTS", points, &V2::max_points(tuning).to_string());
        self.key("DISTINCT_DESCRIPTORS", None, &tuning.distinct.to_string());
    }
}

/// A text as YAML.
fn scalar(text: &str) -> String {
    // A text can always be written.
    serde_yaml::to_string(text).unwrap_or_default().trim_end().to_owned()
}

fn path_scalar(path: &Path) -> String {
    scalar(&path.display().to_string())
}

fn user(user: &AllowedUser) -> String {
    match user {
        AllowedUser::Uid(uid) => uid.to_string(),
        AllowedUser::Name(name) => scalar(name),
    }
}

/// Control ports as the file has them.
fn endpoints(endpoints: &[Endpoint]) -> String {
    let place = |endpoint: &Endpoint| match endpoint {
        Endpoint::Unix(path) => path_scalar(path),
        // The colon and the brackets have another meaning without quotes.
        Endpoint::Tcp { .. } => format!("'{endpoint}'"),
    };
    format!("[{}]", endpoints.iter().map(place).collect::<Vec<_>>().join(", "))
}
