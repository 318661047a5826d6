//! Golden files: the texts that commands are expected to write.

use std::path::Path;
use std::{env, fs};

/// Compares `text` with the golden file at this path below `src/commands`. With `UPDATE_GOLDEN=1` it writes the
/// file first: read it afterwards.
#[track_caller]
pub(super) fn assert_golden(path: impl AsRef<Path>, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands").join(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap();
    assert!(text == wanted, "{} is:\n{text}\nwanted:\n{wanted}", path.display());
}
