//! The options of `onionbalance status`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Shows how a running balancer is doing. The exit status is 0 for ok, 1 for degraded or starting, 2 for
/// down, and 3 if nobody answers: that of a monitoring plugin.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit status: 0 ok, 1 degraded or starting, 2 down, 3 if the balancer does not answer or the command line is not valid.
The first line is that of a monitoring plugin.")]
#[group(skip)]
pub struct StatusOptions {
    /// Show this service alone: its name or its address
    pub service: Option<String>,

    /// The form for a program; none for a person.
    #[command(flatten)]
    pub form: FormOptions,

    /// The page.
    #[command(flatten)]
    pub page: PageOptions,

    /// Show the status again and again, every 2 seconds if no number is given; Ctrl-C ends it
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = clap::value_parser!(u16).range(1..), conflicts_with_all = ["wait", "quiet"])]
    pub watch: Option<u16>,

    /// Wait until all is ok, for 120 seconds if no number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "120")]
    pub wait: Option<u32>,

    /// Print all services and whole addresses
    #[arg(long)]
    pub full: bool,

    /// Print nothing: the exit status tells
    #[arg(short, long, conflicts_with_all = ["json", "full"])]
    pub quiet: bool,

    /// Print nothing: the exit status is 0 if the balancer answers, in whatever health, and 3 if not. For a
    /// probe that restarts it
    #[arg(long, conflicts_with_all = ["service", "json", "prometheus", "html", "watch", "full", "quiet"])]
    pub alive: bool,

    /// The balancer's status socket [default: the configuration's, else
    /// /run/onionbalance-status/status.sock]
    #[arg(short, long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The configuration that may name the socket [default: config.yaml, else /etc/onionbalance/config.yaml]
    #[arg(short, long, env = "ONIONBALANCE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}

/// The forms for programs.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct FormOptions {
    /// Print the status as JSON, in the form of the status socket
    #[arg(long, conflicts_with_all = ["service", "watch", "full"])]
    pub json: bool,

    /// Print metrics for Prometheus; their labels have names instead of addresses
    #[arg(long, conflicts_with_all = ["service", "json", "watch", "wait", "full", "quiet"])]
    pub prometheus: bool,

    /// Add metrics whose labels have the addresses of services and backends
    #[arg(long, requires = "prometheus")]
    pub addresses: bool,

    /// Write the metrics to this file, which is replaced as a whole, and end with status 0 if that is done
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub output: Option<PathBuf>,
}

/// The options of the page.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct PageOptions {
    /// Write a page to this file, or to standard output if it is `-`: HTML without scripts
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["service", "json", "prometheus", "watch", "full", "quiet"])]
    pub html: Option<PathBuf>,

    /// Put numbers in place of addresses on the page, for a report of a bug
    #[arg(long, requires = "html")]
    pub redact: bool,
}

/// The choice of colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}
