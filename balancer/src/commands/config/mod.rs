//! `onionbalance config`: sets up a deployment. `onionbalance-key` makes the keys; no key is in this process.
//!
//! `wizard` makes a `plan` of the options or of a `dialogue`, and `tree` writes its files: the configuration
//! (`yaml`), the script that installs it on this machine (`here`), the files for backends (`backend`), and
//! the next steps (`readme`). `legacy` does what Onionbalance's `onionbalance-config` does.

mod backend;
mod deployment;
mod dialogue;
mod here;
mod kernel;
mod key_program;
mod legacy;
mod plan;
mod readme;
mod tree;
mod wizard;
mod yaml;

use std::fmt::{self, Display};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use self::deployment::Machine;
use self::dialogue::Dialogue;
use self::plan::{Backend, Plan, Protection};
use super::check;
use crate::cli::{CheckOptions, ConfigOptions};

pub use self::legacy::run as run_legacy;

/// The exit status of a command line whose options do not fit together, as clap has it.
const USAGE: u8 = 2;

/// The reason for which nothing was done, and the remedy.
#[derive(Debug)]
struct Problem(String);

impl Problem {
    fn new(what: impl Display) -> Self {
        Self(what.to_string())
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sets up a deployment, or writes addresses into one, and returns the exit status of the process.
pub fn run(options: &ConfigOptions) -> ExitCode {
    if options.no_interactive && options.protection.needs_terminal() && !is_filling(options) {
        report("--no-interactive asks for no passphrase: give --passphrase-file FILE, or --plain");
        return ExitCode::from(USAGE);
    }
    let done = if is_filling(options) { fill(options) } else { set_up(options) };
    done.unwrap_or_else(|problem| {
        report(problem);
        ExitCode::FAILURE
    })
}

/// True if the options are for a deployment that exists: addresses, or its installation.
fn is_filling(options: &ConfigOptions) -> bool {
    let has_addresses = options.backends.iter().any(|list| list.contains('='));
    (has_addresses || options.install) && tree::configuration(&options.output).is_file()
}

/// Writes the files of a plan that a person or the options have confirmed.
fn set_up(options: &ConfigOptions) -> Result<ExitCode, Problem> {
    let mut dialogue = Dialogue::new(io::stdin().lock(), io::stdout());
    let plan = if options.no_interactive {
        let plan = wizard::plan(options)?;
        dialogue.say(&wizard::summary(&plan))?;
        Some(plan)
    } else {
        wizard::ask(options, &mut dialogue)?
    };
    match plan {
        Some(plan) => write(plan, options.install, &mut dialogue),
        None => Err(Problem::new("nothing was written")),
    }
}

fn write<R: io::BufRead, W: Write>(
    plan: Plan,
    is_installed: bool,
    dialogue: &mut Dialogue<R, W>,
) -> Result<ExitCode, Problem> {
    let deployment = tree::write(plan, Machine::read())?;
    let output = &deployment.plan.output;
    let readme = output.join("README");
    dialogue.say(&format!(
        "\nWritten. {} has the next steps. The address for visitors:\n\n{}\n",
        readme.display(),
        readme::frontends(&deployment)
    ))?;
    let passphrase = match &deployment.plan.protection {
        Protection::File(file) => Some(file.as_path()),
        Protection::Plain | Protection::Asked => None,
    };
    match (deployment.plan.has_all_addresses(), is_installed) {
        (true, true) => install(output, passphrase),
        (true, false) => Ok(check(output)),
        (false, true) => Err(Problem::new("not installed yet: the addresses of the backends are not known")),
        (false, false) => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the given addresses into the configuration.
fn fill(options: &ConfigOptions) -> Result<ExitCode, Problem> {
    let lists = options.backends.iter().flat_map(|list| list.split(','));
    let backends = lists.map(|part| part.trim().parse()).collect::<Result<Vec<Backend>, _>>()?;
    let path = tree::configuration(&options.output);
    let about = |what: &dyn Display| Problem::new(format_args!("{}: {what}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| about(&error))?;
    let filled = yaml::fill(&text, &backends).map_err(|problem| about(&problem))?;
    if filled != text {
        tree::replace(&path, &filled)?;
    }
    let missing = yaml::missing(&filled);
    match (missing.as_slice(), options.install) {
        ([], true) => return install(&options.output, options.protection.passphrase_file.as_deref()),
        ([], false) => return Ok(check(&options.output)),
        ([first, ..], true) => return Err(about(&format_args!("not installed: {first} has no address yet"))),
        ([_, ..], false) => {}
    }
    let mut out = io::stdout();
    // The file has the addresses, whether somebody reads this or not.
    let _ = writeln!(out, "{}: still without an address: {}", path.display(), missing.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// Installs the tree at `output` on this machine.
fn install(output: &Path, passphrase: Option<&Path>) -> Result<ExitCode, Problem> {
    let script = tree::installation(output);
    if !script.is_file() {
        return Err(Problem::new(format_args!(
            "there is no {}: a first try is not installed; leave out --first-try",
            script.display()
        )));
    }
    here::run(&script, passphrase).map(|()| ExitCode::SUCCESS)
}

/// Checks the configuration in the tree at `output`, as `onionbalance check` does.
fn check(output: &Path) -> ExitCode {
    check::run(&CheckOptions::before_installation(tree::configuration(output)))
}

fn report(problem: impl Display) {
    // Nothing is left to report it to if this fails.
    let _ = writeln!(io::stderr(), "onionbalance config: {problem}");
}

#[cfg(test)]
mod tests;
