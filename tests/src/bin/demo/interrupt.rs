//! Ctrl-C: all processes end at once, and all files are removed.

use std::process::exit;
use std::thread;

use anyhow::{Context, Result};
use onionbalance_tests::{owned, process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::screen;

/// From now on, a signal to end kills all processes, removes all files, and ends this process with status
/// 130.
pub(crate) fn watch() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            process::end_all();
            owned::remove_all();
            screen::note("interrupted: everything is stopped");
            exit(130);
        }
    })?;
    Ok(())
}

/// Waits for a signal, which ends the process.
pub(crate) fn wait() -> ! {
    loop {
        thread::park();
    }
}

/// Waits for the end of the process if a signal has arrived: later failures are a consequence of it.
pub(crate) fn yield_to() {
    while process::is_ending() {
        thread::park();
    }
}
