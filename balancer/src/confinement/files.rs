//! Files and TCP ports, given up by landlock.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::reach::Reach;

/// The newest landlock version that is asked for; a kernel that has an older one enforces that. Version 1
/// bounds files, version 4 TCP ports.
const RULES: ABI = ABI::V7;

/// Gives up everything except reading: writing elsewhere, running programs, ports, signals. False if the
/// kernel has no landlock. Directories that do not exist are skipped.
pub(super) fn restrict_all_but_reading(reach: &Reach) -> Result<bool, RulesetError> {
    let ports = reach.ports.iter().filter(|_| !reach.has_any_port);
    let ports = ports.map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES) & !reading())?
        .handle_access(restricted_ports(reach))?
        .scope(scope(reach))?
        .create()?
        .no_new_privs(false)
        .add_rules(path_beneath_rules(&reach.writable, writing()))?
        .add_rules(ports)?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Gives up reading elsewhere. The filter of system calls may be in force already: `no_new_privs`, which
/// landlock demands, was set long before.
pub(super) fn restrict_reading(reach: &Reach) -> Result<(), RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(reading())?
        .create()?
        .no_new_privs(false)
        .add_rules(path_beneath_rules(&reach.readable, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(&reach.writable, reading()))?
        .restrict_self()
        .map(drop)
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// The rights to create, write, replace and remove a file. fsync of its directory also needs the right to
/// read.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::MakeSock | AccessFs::RemoveFile
}

/// No process outside gets a signal, except a signer that is our child: seccomp bounds which signal.
fn scope(reach: &Reach) -> BitFlags<Scope> {
    let all = Scope::from_all(RULES);
    if reach.child.is_some() { all & !Scope::Signal } else { all }
}

fn restricted_ports(reach: &Reach) -> BitFlags<AccessNet> {
    if reach.has_any_port { AccessNet::BindTcp.into() } else { AccessNet::from_all(RULES) }
}
