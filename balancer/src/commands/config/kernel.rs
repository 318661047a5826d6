//! The kernel's part in the protection of keys, as far as a configuration has to follow from it.

use std::fs;

/// The first kernel with `memfd_secret(2)`, if its command line switches it on.
const HAS_SECRET_MEMORY: (u32, u32) = (5, 14);
/// The first kernel that has it unless its command line switches it off.
const SECRET_MEMORY_IS_ON: (u32, u32) = (6, 5);

/// The running kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// `uname -r`; empty: unknown.
    release: String,
    command_line: String,
    /// The security modules, with commas; `None`: unknown.
    security_modules: Option<String>,
}

impl Kernel {
    /// This machine's kernel. A file that cannot be read leaves its part unknown.
    pub(super) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        Self {
            release: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
            command_line: text("/proc/cmdline").unwrap_or_default(),
            security_modules: text("/sys/kernel/security/lsm").ok(),
        }
    }

    /// The kernel's release if it has no memory that root cannot read (`memfd_secret`), in which the signer
    /// keeps keys; `None`: it has, or nothing is known.
    pub(super) fn without_secret_memory(&self) -> Option<&str> {
        let version = self.version()?;
        let switch = self
            .command_line
            .split_whitespace()
            .rev()
            .find_map(|word| word.strip_prefix("secretmem.enable="));
        let is_on = match switch {
            Some(value) => ["1", "y", "Y", "on"].contains(&value),
            None => version >= SECRET_MEMORY_IS_ON,
        };
        (!is_on || version < HAS_SECRET_MEMORY).then_some(self.release.as_str())
    }

    /// True if the kernel has no landlock, by which both programs give up their files.
    pub(super) fn is_without_landlock(&self) -> bool {
        let has = |modules: &String| modules.split(',').any(|module| module == "landlock");
        self.security_modules.as_ref().is_some_and(|modules| !has(modules))
    }

    fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(|byte: char| !byte.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    #[cfg(test)]
    pub(super) fn of(release: &str, command_line: &str) -> Self {
        Self { release: release.to_owned(), command_line: command_line.to_owned(), security_modules: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_need_an_option_for_secret_memory() {
        for (release, command_line, has) in [
            ("6.1.0-28-amd64", "quiet", false),
            ("6.1.0-28-amd64", "secretmem.enable=1 quiet", true),
            ("6.12.57+deb13-amd64", "", true),
            ("6.12.57+deb13-amd64", "secretmem.enable=0", false),
            ("6.5.0", "", true),
            ("5.10.0-33-amd64", "secretmem.enable=1", false),
            ("", "", true),
            ("unknown", "", true),
        ] {
            let kernel = Kernel::of(release, command_line);
            assert_eq!(kernel.without_secret_memory(), (!has).then_some(release), "{release} {command_line}");
        }
    }

    #[test]
    fn landlock_is_missing_if_other_modules_are_known() {
        let modules = |modules: Option<&str>| Kernel {
            security_modules: modules.map(str::to_owned),
            ..Kernel::default()
        };
        assert!(modules(Some("lockdown,capability,apparmor")).is_without_landlock());
        assert!(!modules(Some("capability,landlock,apparmor")).is_without_landlock());
        assert!(!modules(None).is_without_landlock());
    }
}
