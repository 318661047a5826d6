//! Files and TCP ports, given up by landlock.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::reach::Reach;

/// The newest rules that are asked for; a kernel that knows fewer enforces those. The first version knows files, the fourth
/// TCP ports.
const RULES: ABI = ABI::V7;

/// Gives up everything but reading: writing elsewhere, running programs, ports, signals. False where the kernel has no
/// landlock. Directories that are not there are passed over.
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

/// Gives up reading elsewhere. The filter of system calls may be on already: `no_new_privs`, which landlock wants, has been
/// set long before.
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

/// The rights to create, write, replace and remove a file. fsync of its directory needs the right to read as well.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::MakeSock | AccessFs::RemoveFile
}

/// Nobody outside is sent a signal, save a signer that is our child: which signal, is said by seccomp.
fn scope(reach: &Reach) -> BitFlags<Scope> {
    let all = Scope::from_all(RULES);
    if reach.child.is_some() { all & !Scope::Signal } else { all }
}

fn restricted_ports(reach: &Reach) -> BitFlags<AccessNet> {
    if reach.has_any_port { AccessNet::BindTcp.into() } else { AccessNet::from_all(RULES) }
}
