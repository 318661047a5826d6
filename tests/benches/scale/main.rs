//! The cost of many services: requests to tor, processor time and memory, with the real programs and tor's
//! real limits.
//!
//! `cargo bench --package onionbalance-tests --bench scale -- 1x3 100x10 --tors 2` plays the control ports of
//! so many tors for that many services with that many backends each, one size after the other
//! (`docs/scale.md` has the results).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may stop at the first surprise, and its output is for a person"
)]

mod site;
#[path = "../tor/mod.rs"]
mod tor;

use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use site::Site;

/// The sizes to measure, and the limits of time.
#[derive(Parser)]
struct Options {
    /// The number of services, and of backends that each has.
    #[arg(value_name = "SERVICESxBACKENDS", default_value = "1x3")]
    sizes: Vec<Size>,
    /// The number of tors that share the work.
    #[arg(long, default_value_t = 1)]
    tors: usize,
    /// The minutes of the steady phase, which is extrapolated to an hour.
    #[arg(long, default_value_t = 10)]
    steady: u64,
    /// The minutes after which a phase that has not reached its aim ends.
    #[arg(long, default_value_t = 45)]
    patience: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A number of services, and of backends that each of them has.
#[derive(Clone, Copy)]
struct Size {
    services: u64,
    backends: u64,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (services, backends) = text.split_once('x').ok_or("write SERVICESxBACKENDS, such as 100x10")?;
        let number = |text: &str| text.parse().map_err(|_| format!("not a number: {text}"));
        Ok(Self { services: number(services)?, backends: number(backends)? })
    }
}

fn main() {
    let options = Options::parse();
    let minutes = Duration::from_mins;
    for Size { services, backends } in options.sizes {
        println!("{services} services, {backends} backends each, {} tors", options.tors);
        let site = Site::start(services, backends, options.tors, minutes(options.patience));
        site.run(minutes(options.steady));
    }
}
