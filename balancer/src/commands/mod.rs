//! The commands besides balancing. `check` and `status` look at something and print what they found,
//! `drain` and `enable` ask a running balancer for something, `config` sets up a deployment. Each of them
//! ends.

pub mod check;
pub mod config;
pub mod control;
#[cfg(test)]
mod golden;
pub mod status;

use std::path::PathBuf;

/// The width of a screen, in characters.
const WIDTH: usize = 80;
/// The places of the configuration, in this order.
const CONFIGURATIONS: [&str; 2] = ["config.yaml", "/etc/onionbalance/config.yaml"];

/// `text` without control characters: a terminal would obey them.
fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

/// The configuration in its usual place; `None`: there is none.
fn usual_configuration() -> Option<PathBuf> {
    CONFIGURATIONS.iter().map(PathBuf::from).find(|path| path.is_file())
}
