//! The version of the programs, as `--version` prints it.

/// The version of a program, for `--version`: `1.0.0 (DETAIL; commit 1a2b3c4d5e6f, 2026-12-01)`.
///
/// The commit and its day are `$ONIONBALANCE_COMMIT` of the build. A build without this variable leaves them
/// out: a build script that asked git would compile both programs again after each commit.
pub fn version(detail: Option<&str>) -> String {
    described(detail, COMMIT)
}

const COMMIT: Option<&str> = option_env!("ONIONBALANCE_COMMIT");

fn described(detail: Option<&str>, commit: Option<&str>) -> String {
    let commit = commit.map(|commit| format!("commit {commit}"));
    let details: Vec<&str> = detail.into_iter().chain(commit.as_deref()).collect();
    let number = env!("CARGO_PKG_VERSION");
    if details.is_empty() { number.to_owned() } else { format!("{number} ({})", details.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_commit_is_left_out() {
        let number = env!("CARGO_PKG_VERSION");
        let commit = Some("1a2b3c4d5e6f, 2026-12-01");
        assert_eq!(
            described(Some("Rust"), commit),
            format!("{number} (Rust; commit 1a2b3c4d5e6f, 2026-12-01)")
        );
        assert_eq!(described(Some("Rust"), None), format!("{number} (Rust)"));
        assert_eq!(described(None, commit), format!("{number} (commit 1a2b3c4d5e6f, 2026-12-01)"));
        assert_eq!(described(None, None), number);
    }
}
