//! Limits of processes (setrlimit(2)).

use std::process::Command;

use anyhow::Result;

/// The hard limit of this process with this `prlimit` name. In a container even root may lack the capability
/// to raise it. [`u64::MAX`]: no limit.
pub fn hard_limit(option: &str) -> Result<u64> {
    let printed = Command::new("prlimit")
        .args([&format!("--{option}"), "--output=HARD", "--noheadings", "--raw"])
        .output()?;
    let text = String::from_utf8(printed.stdout)?;
    Ok(if text.trim() == "unlimited" { u64::MAX } else { text.trim().parse()? })
}
