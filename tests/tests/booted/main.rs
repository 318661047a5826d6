//! The programs under a real systemd: each test boots a Debian, or several, and follows the documents there.

mod containers;
mod documents;
mod installed;
mod journal;
mod package;
mod reloads;
mod tutorial;
mod unready;
mod walls;
mod wizard;
