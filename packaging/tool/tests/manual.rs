//! The manual is complete, and `man` shows it without a complaint.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use onionbalance_packaging::{completions, manual, project};

#[test]
fn each_command_has_a_page_that_man_shows() -> Result<(), Box<dyn Error>> {
    let pages = manual::pages(&project().join("packaging/man"), "2026-12-01")?;
    let names: Vec<&str> = pages.keys().map(String::as_str).collect();
    for name in ["onionbalance.8", "onionbalance-signer.8", "onionbalance-key.1", "onionbalance.yaml.5"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let directory = tempfile::tempdir()?;
    for (name, page) in pages {
        let text = String::from_utf8(page)?;
        assert_eq!(text.matches(".TH ").count(), 1, "{name} is not the page of a command");
        for section in [".SH NAME", ".SH DESCRIPTION", ".SH \"SEE ALSO\""] {
            assert_eq!(text.matches(section).count(), 1, "{name}: {section}");
        }
        let path = directory.path().join(&name);
        fs::write(&path, text)?;
        let mut man = Command::new("man");
        let shown = man.args(["--warnings=all", "--local-file"]).arg(&path).env("LC_ALL", "C.UTF-8").output();
        match shown {
            Ok(shown) => {
                let complaint = String::from_utf8_lossy(&shown.stderr);
                assert!(shown.status.success() && complaint.is_empty(), "{name}: {complaint}");
            }
            // A minimal Debian has no man-db.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[test]
fn each_shell_completes_each_program() -> Result<(), Box<dyn Error>> {
    let share = tempfile::tempdir()?;
    completions::write(share.path())?;
    for (file, wanted) in [
        ("bash-completion/completions/onionbalance", "--prometheus"),
        ("bash-completion/completions/onionbalance-key", "--period-length"),
        ("zsh/vendor-completions/_onionbalance-signer", "--passphrase-file"),
        ("fish/vendor_completions.d/onionbalance-key.fish", "delegate"),
    ] {
        let text = fs::read_to_string(share.path().join(file))?;
        assert!(text.contains(wanted), "{file}");
    }
    Ok(())
}
