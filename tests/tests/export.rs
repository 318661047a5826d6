//! A tor alone serves an exported key.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use onionbalance_tests::deployment::write_secret;
use onionbalance_tests::onion::OnionVersion;
use onionbalance_tests::process::Process;
use onionbalance_tests::programs::Programs;
use onionbalance_tests::provision::TorProgram;
use onionbalance_tests::wait::until;

/// The longest start of a tor without network.
const SOON: Duration = Duration::from_secs(20);
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata");

#[test]
fn tor_has_the_service_of_an_exported_key() -> Result<()> {
    for (version, number, key, name) in [
        (OnionVersion::V3, "3", "v3/front-aes256.pem", "hs_ed25519_secret_key"),
        (OnionVersion::V2, "2", "v2/pem-pkcs8-aes256.key", "private_key"),
    ] {
        let place = tempfile::tempdir()?;
        let path = |name: &str| place.path().join(name);
        DirBuilder::new().mode(0o700).create(path("service"))?;
        write_secret(&path("key"), fs::read(Path::new(TESTDATA).join(key))?)?;
        write_secret(&path("passphrase"), format!("onion balance v{number}\n"))?;
        let mut export = Command::new(&Programs::build()?.key);
        export
            .args(["export", "key", "--passphrase-file", "passphrase", "-o"])
            .arg(path("service").join(name));
        let output = export.current_dir(place.path()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        fs::write(path("torrc"), "DisableNetwork 1\nSocksPort 0\n")?;
        let mut command = TorProgram::find(version)?.tor();
        command.arg("-f").arg(path("torrc")).arg("--DataDirectory").arg(path("data"));
        command.arg("--HiddenServiceDir").arg(path("service")).args(["--HiddenServiceVersion", number]);
        command.args(["--HiddenServicePort", "80 127.0.0.1:80"]);
        let tor = Process::spawn(&mut command, &path("log"))?;
        let hostname = until(SOON, || {
            ensure!(tor.exited()?.is_none(), "{}", fs::read_to_string(path("log"))?);
            Ok(fs::read_to_string(path("service/hostname")).ok().filter(|text| text.ends_with('\n')))
        })?;
        ensure!(hostname.as_bytes() == output.stdout, "{hostname}");
    }
    Ok(())
}
