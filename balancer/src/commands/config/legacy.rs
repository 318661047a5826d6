//! Onionbalance's `onionbalance-config`: its questions, its messages, and the two files that it writes.
//! Scripts and tutorials depend on them.

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onionbalance_proto::config::{Address, LogLevel};

use super::deployment::key_file;
use super::dialogue::Dialogue;
use super::kernel::Kernel;
use super::plan::{self, Backend, Protection};
use super::{Problem, key_program, tree, yaml};
use crate::cli::{HsVersion, LegacyConfigOptions};

const OUTPUT: &str = "config/";
const TAG: &str = "node";
const SERVICES: u16 = 1;
const INSTANCES: u16 = 2;
/// The text in place of each address.
const PLACEHOLDER: &str = "<Enter the instance onion address here>";

/// Generates a configuration, and returns the exit status of the process.
pub fn run(options: &LegacyConfigOptions) -> ExitCode {
    let is_interactive = options.is_interactive();
    message("INFO", "Beginning Onionbalance config generation.");
    message(
        "INFO",
        if is_interactive {
            "No command line arguments found, entering interactive mode."
        } else {
            "Entering non-interactive mode."
        },
    );
    let generator = Generator {
        options,
        dialogue: is_interactive.then(|| Dialogue::new(io::stdin().lock(), io::stdout())),
        version: options.hs_version.unwrap_or(HsVersion::V3),
    };
    match generator.generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            message("ERROR", problem);
            ExitCode::FAILURE
        }
    }
}

struct Generator<'a, R, W> {
    options: &'a LegacyConfigOptions,
    /// `None`: nothing is asked.
    dialogue: Option<Dialogue<R, W>>,
    version: HsVersion,
}

/// A service, as the answers describe it.
struct Service {
    key: Option<PathBuf>,
    backends: Vec<Backend>,
}

impl<R: BufRead, W: Write> Generator<'_, R, W> {
    /// Asks, makes the keys, and writes the configuration. Fails if one of them cannot be done.
    fn generate(mut self) -> Result<(), Problem> {
        let output = self.output()?;
        let services = self.services()?;
        let mut addresses = Vec::new();
        for service in &services {
            addresses.push(self.key(service.key.as_deref(), &output)?);
        }
        let config = output.join("config.yaml");
        tree::create(&config, 0o644, &render(&services, &addresses, &Kernel::read()))?;
        self.info(format_args!("Wrote master service config file '{}'.", absolute(&config).display()));
        self.info("Done! Successfully generated Onionbalance config.");
        let edit = "with a text editor to add/remove/edit your backend instances.";
        self.info(format_args!("Now please edit '{}' {edit}", config.display()));
        Ok(())
    }

    /// The directory to write, which is made. Fails if it has a configuration.
    fn output(&mut self) -> Result<PathBuf, Problem> {
        let default = self.options.output.clone().unwrap_or_else(|| OUTPUT.into());
        let prompt = format!("Enter path to store generated config [{}]: ", absolute(&default).display());
        let output = self.ask(&prompt)?.map_or(default, PathBuf::from);
        let failed =
            |error| Problem::new(format_args!("cannot make the directory {}: {error}", output.display()));
        fs::create_dir_all(&output).map_err(failed)?;
        if fs::symlink_metadata(output.join("config.yaml")).is_ok() {
            return Err(Problem::new(format_args!(
                "The specified output directory '{}' already contains a 'config.yaml' file: name another directory",
                output.display()
            )));
        }
        Ok(output)
    }

    fn services(&mut self) -> Result<Vec<Service>, Problem> {
        let default = self.options.services.unwrap_or(SERVICES);
        let prompt = format!("Number of services (frontends) to create (default: {default}): ");
        let count = self.number(&prompt, default)?;
        if count > 1 && self.options.key.is_some() {
            return Err(Problem::new("--key has the key of one service: each service needs its own"));
        }
        (1..=count).map(|number| self.service(number)).collect()
    }

    fn service(&mut self, number: u16) -> Result<Service, Problem> {
        let of = format!("Service #{number}: ");
        let helper = "(i.e. path to 'hs_ed25519_secret_key') (Leave empty to generate a key)";
        let key = self.ask(&format!("{of}Enter path to master service private key {helper}: "))?;
        let key = self.options.key.clone().or(key.map(PathBuf::from));
        if let Some(key) = key.as_ref().filter(|key| !key.is_file()) {
            return Err(Problem::new(format_args!(
                "The specified master service private key '{}' could not be found: name a file that you may read",
                key.display()
            )));
        }
        let default = self.options.instances.unwrap_or(INSTANCES);
        let prompt =
            format!("{of}Number of instance services to create (default: {default}) (min: 1, max: 8): ");
        let count = self.number(&prompt, default)?;
        let default = self.options.tag.clone().unwrap_or_else(|| TAG.to_owned());
        let tag = self.ask(&format!("{of}Provide a tag name to group these instances [{default}]:"))?;
        let tag = plan::read_name(&tag.unwrap_or(default))?;
        let backends = (1..=count).map(|number| Backend {
            name: format!("{tag}{number}"),
            address: None,
            has_key: false,
        });
        Ok(Service { key, backends: backends.collect() })
    }

    /// Makes a key in `output`, or copies the one at `source`.
    fn key(&self, source: Option<&Path>, output: &Path) -> Result<Address, Problem> {
        let Some(source) = source else { return key_program::new(output, self.version, &Protection::Plain) };
        let address = key_program::import(source, output, self.version, &Protection::Plain)?;
        let copy = output.join(key_file(&address));
        self.info(format_args!("Copied v3 master key from {} to {}.", source.display(), copy.display()));
        Ok(address)
    }

    /// The answer to this prompt; `None`: it is empty, or nothing is asked.
    fn ask(&mut self, prompt: &str) -> Result<Option<String>, Problem> {
        let Some(dialogue) = &mut self.dialogue else { return Ok(None) };
        Ok(Some(dialogue.line(prompt)?).filter(|line| !line.is_empty()))
    }

    /// The number that is answered; the default for anything else.
    fn number(&mut self, prompt: &str, default: u16) -> Result<u16, Problem> {
        match self.ask(prompt)?.and_then(|line| line.parse().ok()) {
            None | Some(0) => Ok(default),
            Some(number) if number > plan::MAX => Err(Problem::new(format_args!(
                "{number} is too many: write a number from 1 to {}",
                plan::MAX
            ))),
            Some(number) => Ok(number),
        }
    }

    fn info(&self, text: impl Display) {
        if matches!(self.options.verbosity, None | Some(LogLevel::Debug | LogLevel::Info)) {
            message("INFO", text);
        }
    }
}

/// The configuration, with keys and values in Onionbalance's order.
fn render(services: &[Service], addresses: &[Address], kernel: &Kernel) -> String {
    let mut text = "# Onionbalance Config File\nservices:\n".to_owned();
    for (service, address) in services.iter().zip(addresses) {
        text += "- instances:\n";
        for Backend { name, .. } in &service.backends {
            // Writing to a string cannot fail.
            let _ = write!(text, "  - address: {PLACEHOLDER}\n    name: {name}\n");
        }
        let _ = writeln!(text, "  key: {}", key_file(address));
    }
    text + &yaml::locked_memory(kernel)
}

/// A path from `/` on; the path itself if the working directory is not known.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Writes a line in the form of Onionbalance's program.
fn message(level: &str, text: impl Display) {
    // Nothing is left to report it to if this fails.
    let _ = writeln!(io::stderr(), "[{level}]: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_onionbalances_configuration() {
        let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion".parse().unwrap();
        let services = [Service { key: None, backends: plan::backends("node", 2) }];
        let text = render(&services, &[address], &Kernel::default());
        assert_eq!(
            text,
            "\
# Onionbalance Config File
services:
- instances:
  - address: <Enter the instance onion address here>
    name: node1
  - address: <Enter the instance onion address here>
    name: node2
  key: 25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.key
"
        );
    }
}
