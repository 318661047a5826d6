//! `onionbalance status --watch`: the screen, drawn again and again.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::ask::ask;
use super::screen::Look;
use super::{exit_status, text};
use crate::cli::StatusOptions;

/// Back to the first line of a terminal (ECMA-48, CUP).
const HOME: &str = "\x1b[H";
/// Clears the rest of a line (EL), and the rest of a terminal (ED).
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// Shows the screen every `pause` until Ctrl-C or SIGTERM. The last screen is left behind. Without a
/// terminal, each screen follows the one before.
///
/// # Errors
/// Signals cannot be waited for, or standard output cannot be written.
pub(super) async fn watch(options: &StatusOptions, look: Look, pause: Duration) -> io::Result<u8> {
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    loop {
        let answer = tokio::select! {
            answer = ask(options) => answer,
            _ = interrupted.recv() => return Ok(0),
            _ = ended.recv() => return Ok(0),
        };
        draw(&text(options, look, &answer))?;
        tokio::select! {
            () = sleep(pause) => {}
            _ = interrupted.recv() => return Ok(exit_status(options, &answer)),
            _ = ended.recv() => return Ok(exit_status(options, &answer)),
        }
    }
}

/// Draws a screen over the one before.
fn draw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if io::stdout().is_terminal() {
        let lines = text.replace('\n', &format!("{CLEAR_LINE}\n"));
        write!(out, "{HOME}{lines}{CLEAR_REST}")?;
    } else {
        writeln!(out, "{text}")?;
    }
    out.flush()
}
