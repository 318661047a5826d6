//! The signer on a kernel before Linux 6.16, which knows no socket option to refuse passed descriptors.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use onionbalance_tests::emulated::Emulated;
use onionbalance_tests::programs::SignerTests;

const SIGNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../signer/tests");
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata");
/// The signer's tests of attacks and of kernel features. The others read keys and configurations, which does
/// not depend on the kernel.
const MODULES: &str = "confinement:: conversation:: floods:: hostile:: isolation:: memory::";
/// `SO_PASSRIGHTS`, by which a listener refuses descriptors.
const PASS_RIGHTS: (u32, u32) = (6, 16);
/// Those that pass descriptors.
const ATTACKS: [&str; 3] = [
    "hostile::a_passed_socket_that_lingers_holds_nobody_else",
    "hostile::a_passed_socket_that_lingers_holds_nobody_else_on_an_older_kernel",
    "hostile::descriptors_that_were_passed_before_the_start_hold_nobody",
];
/// Several times the duration on an idle machine.
const TIMEOUT: Duration = Duration::from_mins(30);

/// Includes the tests that need root, also where this one runs without it: the script is root in the machine.
#[test]
#[ignore = "fetches 100 MB once, and takes minutes: it emulates a machine"]
fn the_signer_withstands_its_attackers_on_a_kernel_that_passes_descriptors() -> Result<()> {
    let tests = SignerTests::build()?;
    let machine = Emulated::new()?;
    machine.add_program(&tests.program)?;
    machine.add_program(&tests.signer)?;
    // The tests' path of their data leads through the signer's directory.
    machine.add_directory(Path::new(TESTDATA))?;
    machine.add_directory(Path::new(SIGNER))?;
    let program = tests.program.display();
    let script = format!("echo kernel $(uname -r)\n{program} --include-ignored --test-threads=2 {MODULES}\n");
    let console = machine.run(&script, TIMEOUT)?;
    let release =
        console.lines().find_map(|line| line.strip_prefix("kernel ")).context("there is no release")?;
    ensure!(version(release).context("no version")? < PASS_RIGHTS, "Linux {release} can refuse descriptors");
    for attack in ATTACKS {
        ensure!(console.contains(&format!("test {attack} ... ok\n")), "{attack} was not tried:\n{console}");
    }
    Ok(())
}

/// The first two numbers of a kernel's release, such as `6.1.0-57-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-', '+']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
