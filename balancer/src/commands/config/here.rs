//! The script that installs a deployment on this machine.

use std::path::Path;
use std::process::Command;

use super::Problem;
use super::deployment::{Deployment, key_file};
use super::plan::Protection;

const USAGE: &str = "\
#     install.sh [FILE]
# FILE holds the passphrase of the keys; without it, it is asked for.
";

/// The path of FILE does not depend on the directory.
const FILE: &str = r#"[ $# -eq 0 ] || set -- "$(realpath "$1")"
"#;

/// The script for a deployment under systemd.
pub(super) fn script(deployment: &Deployment) -> String {
    let (usage, file, open) = match deployment.plan.protection {
        Protection::Plain => ("", "", include_str!("install/plain.sh")),
        Protection::Asked | Protection::File(_) => (USAGE, FILE, include_str!("install/credential.sh")),
    };
    let keys: Vec<String> = deployment.addresses.iter().map(key_file).collect();
    include_str!("install/here.sh")
        .replace("@USAGE@", usage)
        .replace("@FILE@", file)
        .replace("@KEYS@", &keys.join(" "))
        .replace("@OPEN@\n", &format!("{open}\n"))
}

/// Runs the script at `path`, which reports what it does. Fails if it cannot be started, or fails.
pub(super) fn run(path: &Path, passphrase: Option<&Path>) -> Result<(), Problem> {
    let mut command = Command::new("sh");
    let status = command.arg(path).args(passphrase).status();
    let status = status.map_err(|error| Problem::new(format_args!("cannot start sh: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Problem::new(format_args!(
        "{} ended before all was done ({status}): its message is above",
        path.display()
    )))
}
