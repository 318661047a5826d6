//! The version of the programs, as `--version` prints it.

/// The version of a program, for `--version`: `1.0.0 (DETAIL; commit 1a2b3c4d5e6f, 2026-12-01)`.
///
/// The commit and its day are `$ONIONBALANCE_COMMIT` of the build. A build without this variable leaves them
/// out: a build script that asked git would compile both programs again after each commit.
pub fn version(detail: Option<&str>) -> String {
    described(detail, COMMIT)
}

/// The commit of the build, `1a2b3c4d5e6f` or `1a2b3c4d5e6f-dirty`; `None` if the build did not name it.
pub fn commit() -> Option<&'static str> {
    COMMIT.map(without_day)
}

const COMMIT: Option<&str> = option_env!("ONIONBALANCE_COMMIT");

/// `$ONIONBALANCE_COMMIT` without the day, which not every build has.
fn without_day(commit: &str) -> &str {
    commit.split_once(',').map_or(commit, |(commit, _)| commit)
}

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

    #[test]
    fn a_commit_has_no_day() {
        for text in ["1a2b3c4d5e6f, 2026-12-01", "1a2b3c4d5e6f"] {
            assert_eq!(without_day(text), "1a2b3c4d5e6f");
        }
    }
}
