//! The package under a real systemd: each test boots a Debian, or several, and does there what the documents say.

mod documents;
mod installed;
mod journal;
mod reloads;
mod unready;
mod walls;
