//! Limits of processes (setrlimit(2)).

use std::process::Command;

use anyhow::Result;

/// The limit that this process cannot raise for its children, by `prlimit`'s name for it: in a container even root may lack
/// the capability. [`u64::MAX`] if there is none.
pub fn hard_limit(option: &str) -> Result<u64> {
    let printed = Command::new("prlimit")
        .args([&format!("--{option}"), "--output=HARD", "--noheadings", "--raw"])
        .output()?;
    let text = String::from_utf8(printed.stdout)?;
    Ok(if text.trim() == "unlimited" { u64::MAX } else { text.trim().parse()? })
}
