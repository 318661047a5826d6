//! The options of `onionbalance drain` and `onionbalance enable`.

use std::path::PathBuf;

use clap::Args;

use crate::control::request::MAX_DRAIN_SECS;

const EXIT_STATUS: &str = "\
Exit status: 0 done, 1 refused, 2 if the command line is not valid, 4 if the balancer does not answer.";

/// Sends a backend no more visitors: its introduction points are in no descriptor within seconds. It stays
/// so over restarts of onionbalance, until `onionbalance enable` or for the time of `--for`. Tor clients that
/// have an earlier descriptor may still come for up to three hours.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_STATUS)]
#[group(skip)]
pub struct DrainOptions {
    /// The backend: its name or its address
    pub backend: String,

    /// For how long: 30s, 90m, 2h or 7d, 30 days at most [default: until it is enabled]
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub seconds: Option<u64>,

    /// Drain it even if it is the last live backend of a service. It then serves until another one is live
    #[arg(long)]
    pub force: bool,

    /// The service and the socket.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// Sends a backend visitors again that `onionbalance drain` has drained. A backend whose weight is 0 in the
/// configuration stays drained.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_STATUS)]
#[group(skip)]
pub struct EnableOptions {
    /// The backend: its name or its address
    pub backend: String,

    /// The service and the socket.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// The options of both.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ControlOptions {
    /// Only for this service: its name or its address [default: all that list the backend]
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,

    /// The balancer's control socket [default: the configuration's, else
    /// /run/onionbalance-status/control.sock]
    #[arg(short, long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// The configuration that may name the socket [default: config.yaml, else /etc/onionbalance/config.yaml]
    #[arg(short, long, env = "ONIONBALANCE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The seconds of a time with its unit.
fn seconds(text: &str) -> Result<u64, String> {
    let units = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))
        .ok_or("write a number and a unit, such as 30s, 90m, 2h or 7d")?;
    let number: u64 = number.parse().map_err(|_| "write a whole number before the unit, such as 2h")?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=MAX_DRAIN_SECS).contains(seconds));
    seconds.ok_or_else(|| format!("write a time from 1s to {}d", MAX_DRAIN_SECS / 86400))
}
