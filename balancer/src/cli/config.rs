//! The options of `onionbalance config`, and those of Onionbalance's `onionbalance-config`.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, value_parser};
use onionbalance_proto::config::LogLevel;

use super::balance::HsVersion;

/// The name under which the program is Onionbalance's `onionbalance-config`.
const LEGACY_NAME: &str = "onionbalance-config";

/// The most services and backends that the options take.
const MAX: i64 = 100;

/// Sets up a deployment: asks, makes the keys, and writes the configuration, a script for each backend, and a
/// README with the next steps. Nothing is written before a summary is confirmed, and no file is overwritten.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
onionbalance-key makes the keys. When the scripts have printed the backends' addresses, the same command with
--backends NAME=ADDRESS,... writes them into the configuration in DIR, and --install runs DIR/management/install.sh.

Exit status: 0 done, 1 not done, 2 if the command line is not valid; after addresses were written, that of
`onionbalance check`.")]
#[group(skip)]
pub struct ConfigOptions {
    /// The directory to write; it must not exist, unless addresses are written into it
    #[arg(short, long, value_name = "DIR", default_value = "onionbalance-setup")]
    pub output: PathBuf,

    /// Ask nothing: use the options and the defaults
    #[arg(long)]
    pub no_interactive: bool,

    /// Number of services [default: 1]
    #[arg(short = 's', long, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=MAX))]
    pub services: Option<u16>,

    /// Use this key: tor's, Onionbalance's or mkp224o's, or the directory of tor's service [default: a new
    /// key]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Number of backends of each service [default: 2]
    #[arg(short = 'n', value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=MAX))]
    pub number: Option<u16>,

    /// Name of the service, from which backends get theirs [default: web]
    #[arg(short, long, value_name = "NAME")]
    pub tag: Option<String>,

    /// The backends of a service: names, or NAME=ADDRESS, with commas; once for each service
    #[arg(long, value_name = "LIST", conflicts_with = "number")]
    pub backends: Vec<String>,

    /// The keys of the backends.
    #[command(flatten)]
    pub backend_keys: BackendKeyOptions,

    /// Port that visitors use [default: 80]
    #[arg(long, value_name = "PORT")]
    pub service_virtual_port: Option<NonZeroU16>,

    /// Address and port of each backend's server [default: 127.0.0.1 and the port that visitors use]
    #[arg(long, value_name = "TARGET")]
    pub service_target: Option<String>,

    /// Version of the onion services
    #[arg(long, value_enum, value_name = "VERSION", default_value = "v3")]
    pub hs_version: HsVersion,

    /// Set up a first try by hand: one user, no units
    #[arg(long)]
    pub first_try: bool,

    /// Install it on this machine as well, as root, and start both programs under systemd; for a deployment
    /// that exists, or one whose backends have addresses
    #[arg(long, conflicts_with = "first_try")]
    pub install: bool,

    /// The protection of the keys.
    #[command(flatten)]
    pub protection: ProtectionOptions,
}

/// The keys of backends.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct BackendKeyOptions {
    /// Make the backends' keys as well, so that their addresses are known at once. Each is in its directory,
    /// unencrypted, until its script has installed it
    #[arg(long)]
    pub with_backend_keys: bool,
}

/// The protection of key files besides their modes.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ProtectionOptions {
    /// Do not encrypt the keys
    #[arg(long, conflicts_with = "passphrase_file")]
    pub plain: bool,

    /// A file with the passphrase for the keys alone [default: it is asked for on the terminal]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl ProtectionOptions {
    /// True if a passphrase has to be typed for each key.
    pub fn needs_terminal(&self) -> bool {
        !self.plain && self.passphrase_file.is_none()
    }
}

/// Generates a configuration and the keys of its services, as Onionbalance's program of this name does.
/// Without options it asks. `onionbalance config` writes a script for each backend as well.
#[derive(Clone, Debug, Parser)]
#[command(name = LEGACY_NAME, version, disable_version_flag = true, infer_long_args = true)]
pub struct LegacyConfigOptions {
    /// Version of the onion services
    #[arg(long, value_enum, value_name = "VERSION")]
    pub hs_version: Option<HsVersion>,

    /// The key of the service; it is copied [default: a new key]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Refused: every user of a machine can read its command lines
    #[arg(short, long)]
    password: Option<String>,

    /// Number of backends of each service [default: 2]
    #[arg(short = 'n', value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=MAX))]
    pub instances: Option<u16>,

    /// Number of services [default: 1]
    #[arg(short = 's', value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=MAX))]
    pub services: Option<u16>,

    /// The beginning of the backends' names [default: node]
    #[arg(short, long)]
    pub tag: Option<String>,

    /// The directory to write [default: config/]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Ask nothing: use the options and the defaults
    #[arg(long)]
    pub no_interactive: bool,

    /// Level of the messages: debug, info, warning, error or critical [default: info]
    #[arg(short = 'v', value_name = "LEVEL")]
    pub verbosity: Option<LogLevel>,

    /// Accepted for compatibility: no file has it
    #[arg(long, value_name = "PORT")]
    service_virtual_port: Option<String>,

    /// Accepted for compatibility: no file has it
    #[arg(long, value_name = "TARGET")]
    service_target: Option<String>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

impl LegacyConfigOptions {
    /// The options of this command line.
    ///
    /// # Errors
    /// An option is not valid, or help is asked for.
    pub(super) fn try_read(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let options = Self::try_parse_from(line)?;
        if options.password.is_some() {
            let refused = "--password: every user of this machine can read a command line; leave it out, and encrypt \
                           the key: onionbalance-key encrypt OLD.key -o NEW.key";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, refused));
        }
        Ok(options)
    }

    /// True if the program was called by the name whose command line this is.
    pub(super) fn is_called(program: Option<&OsStr>) -> bool {
        program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(LEGACY_NAME))
    }

    /// True unless an option besides `-v` is given.
    pub fn is_interactive(&self) -> bool {
        let Self { hs_version, key, password, instances, services, tag, output, no_interactive, .. } = self;
        let given = [
            *no_interactive,
            hs_version.is_some(),
            key.is_some(),
            password.is_some(),
            instances.is_some(),
            services.is_some(),
            tag.is_some(),
            output.is_some(),
            self.service_virtual_port.is_some(),
            self.service_target.is_some(),
        ];
        !given.contains(&true)
    }
}
