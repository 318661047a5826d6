//! Paths as a program is given them.

use std::path::Path;

/// The directory that a file is in, by its path alone: `.` if the path is a name alone, and for `/`. The file
/// need not exist, and links are not followed.
pub fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_in_the_working_directory() {
        for (file, directory) in [("name", "."), ("in/name", "in"), ("/name", "/"), ("/", ".")] {
            assert_eq!(directory_of(Path::new(file)), Path::new(directory), "{file}");
        }
    }
}
