//! The files of a deployment. Nothing is ever overwritten.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::deployment::{Deployment, Machine};
use super::plan::{Form, Plan};
use super::{Problem, backend, here, key_program, readme, yaml};

/// The directory with the files for this machine.
const MANAGEMENT: &str = "management";

/// The configuration in the tree at `output`.
pub(super) fn configuration(output: &Path) -> PathBuf {
    output.join(MANAGEMENT).join("config.yaml")
}

/// The script in the tree at `output` that installs it on this machine.
pub(super) fn installation(output: &Path) -> PathBuf {
    output.join(MANAGEMENT).join("install.sh")
}

/// Makes the keys, and writes the tree. Fails if anything exists in its place, a key cannot be made, or a
/// file cannot be written; nothing is left then.
pub(super) fn write(plan: Plan, machine: Machine) -> Result<Deployment, Problem> {
    let output = plan.output.clone();
    make_directory(&output, 0o700)?;
    let written = write_in(plan, machine);
    if written.is_err() {
        // It was empty before, and only its owner may write into it. If it cannot be removed, the next run names it.
        let _ = fs::remove_dir_all(&output);
    }
    written
}

fn write_in(mut plan: Plan, machine: Machine) -> Result<Deployment, Problem> {
    let output = plan.output.clone();
    let management = output.join(MANAGEMENT);
    make_directory(&management, 0o700)?;
    let mut addresses = Vec::new();
    for service in &plan.services {
        let address = match &service.key {
            None => key_program::new(&management, plan.version, &plan.protection),
            Some(source) => key_program::import(source, &management, plan.version, &plan.protection),
        };
        addresses.push(address?);
    }
    let backends = output.join("backends");
    make_directory(&backends, 0o755)?;
    make_backends(&mut plan, &backends)?;
    let deployment = Deployment { plan, addresses, machine };
    create(&configuration(&output), 0o640, &yaml::render(&deployment))?;
    if deployment.plan.form == Form::Units {
        create(&installation(&output), 0o755, &here::script(&deployment))?;
    }
    for (service, frontend) in deployment.services() {
        for of in &service.backends {
            let place = backends.join(&of.name);
            create(&place.join("install.sh"), 0o755, &backend::install(of, service, frontend))?;
            create(&place.join("torrc"), 0o644, &backend::torrc(of, service, frontend))?;
        }
    }
    let place = std::path::absolute(&output).map_err(|error| failed(&output, error))?;
    create(&output.join("README"), 0o644, &readme::render(&deployment, &place))?;
    Ok(deployment)
}

/// Makes the directory of each backend below `place`, with the backend's key if the plan asks for it. Fails
/// if one cannot be made.
fn make_backends(plan: &mut Plan, place: &Path) -> Result<(), Problem> {
    let (version, makes_keys) = (plan.version, plan.makes_backend_keys);
    for of in plan.services.iter_mut().flat_map(|service| &mut service.backends) {
        let place = place.join(&of.name);
        make_directory(&place, 0o755)?;
        if makes_keys && of.address.is_none() {
            of.address = Some(key_program::new_for_tor(&place, version, backend::key_file(version))?);
            of.has_key = true;
        }
    }
    Ok(())
}

/// Fails if something exists at `path`.
pub(super) fn must_be_absent(path: &Path) -> Result<(), Problem> {
    // A dangling link counts as existing.
    if fs::symlink_metadata(path).is_ok() { Err(taken(path)) } else { Ok(()) }
}

/// Makes a directory with this mode, independent of the umask. Fails if something exists there.
fn make_directory(path: &Path, mode: u32) -> Result<(), Problem> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed(path, error))?;
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(|error| failed(path, error))
}

/// Writes a new file with this mode, independent of the umask. Fails if something exists there.
pub(super) fn create(path: &Path, mode: u32, text: &str) -> Result<(), Problem> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| failed(path, error))
}

/// Replaces the file at `path` as a whole by one with the same mode. Fails if it cannot be written.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    let mode = fs::metadata(path).map_err(|error| failed(path, error))?.permissions().mode();
    let temporary = path.with_extension("yaml.new");
    create(&temporary, mode & 0o777, text)?;
    fs::rename(&temporary, path).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: impl Into<std::io::Error>) -> Problem {
    let error = error.into();
    if error.kind() == ErrorKind::AlreadyExists {
        return taken(path);
    }
    let place: &dyn Display = &path.display();
    Problem::new(format_args!("cannot write {place}: {error}"))
}

fn taken(path: &Path) -> Problem {
    Problem::new(format_args!("{} exists, and nothing is overwritten: name another place", path.display()))
}
