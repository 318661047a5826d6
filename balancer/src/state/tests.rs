use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn newest(revision: u64) -> Newest {
    Newest { period: 20_833, revision, published: UnixTime(NOW.0 - 600), seen: NOW }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    (directory, path)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_noted_is_there_the_next_time() {
    let (directory, path) = place();
    let memory = Memory::read(path.clone());
    assert!(memory.recall().is_empty());
    memory.note(&"a.onion".into(), newest(7));
    memory.note(&"b.onion".into(), newest(1));
    memory.note(&"a.onion".into(), newest(9));
    memory.save(NOW);
    assert_eq!(names(directory.path()), ["state.json"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Memory::read(path);
    assert_eq!(again.recall(), memory.recall());
    assert_eq!(again.recall()[&"a.onion".into()], newest(9));
}

#[test]
fn a_file_that_makes_no_sense_is_moved_aside_and_told() {
    for text in ["", "{", "[]", "{\"version\":\"2\",\"backends\":{}}", "{\"version\":\"1\"}", "\u{0}\u{0}"] {
        let (directory, path) = place();
        fs::write(&path, text).unwrap();
        let error = StateFile::at(path.clone()).read().unwrap_err().to_string();
        assert!(error.contains("makes no sense") && error.contains("was moved to"), "{error}");
        assert_eq!(names(directory.path()), ["state.json.corrupt"]);
        let aside = fs::read_to_string(directory.path().join("state.json.corrupt")).unwrap();
        assert_eq!(aside, text);
        let memory = Memory::read(path);
        memory.note(&"a.onion".into(), newest(1));
        memory.save(NOW);
        assert_eq!(names(directory.path()), ["state.json", "state.json.corrupt"]);
    }
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let error = parse(&vec![b' '; 65 << 20]).unwrap_err();
    assert!(error.contains("more than"), "{error}");
    let (directory, path) = place();
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = StateFile::at(path).read().unwrap_err().to_string();
    assert!(error.contains("more than") && error.contains("was moved to"), "{error}");
    assert_eq!(names(directory.path()), ["state.json.corrupt"]);
}

#[test]
fn what_is_no_file_stays_where_it_is() {
    let (directory, path) = place();
    fs::create_dir(&path).unwrap();
    let error = StateFile::at(path).read().unwrap_err().to_string();
    assert!(error.contains("no regular file"), "{error}");
    assert_eq!(names(directory.path()), ["state.json"]);
}

#[test]
fn trouble_with_the_file_loses_nothing_that_is_known() {
    let (directory, _) = place();
    let path = directory.path().join("not-there/state.json");
    let memory = Memory::read(path.clone());
    memory.note(&"a.onion".into(), newest(1));
    memory.save(NOW);
    fs::create_dir(directory.path().join("not-there")).unwrap();
    memory.save(NOW);
    assert_eq!(Memory::read(path).recall(), memory.recall());
}

#[test]
fn what_no_hsdir_has_any_more_is_forgotten() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.note(&"old.onion".into(), Newest { published: NOW.minus(FORGOTTEN_AFTER), ..newest(1) });
    memory.note(&"ahead.onion".into(), Newest { published: NOW.plus(86400), ..newest(1) });
    memory.save(NOW);
    assert_eq!(Memory::read(path).recall().keys().collect::<Vec<_>>(), [&"ahead.onion".into()]);
}

#[tokio::test(start_paused = true)]
async fn news_is_written_by_itself() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.note(&"a.onion".into(), newest(3));
    let _ = tokio::time::timeout(GATHER * 2, memory.keep(|| NOW)).await;
    assert_eq!(Memory::read(path).recall(), memory.recall());
}

proptest! {
    #[test]
    fn reads_what_it_writes(entries in proptest::collection::btree_map(".{0,70}", any::<(u64, u64, u64, u64)>(), 0..20)) {
        let newest: BTreeMap<BackendId, Newest> = entries
            .iter()
            .map(|(name, (period, revision, published, seen))| {
                let (published, seen) = (UnixTime(*published), UnixTime(*seen));
                let newest = Newest { period: *period, revision: *revision, published, seen };
                (BackendId::from(name.as_str()), newest)
            })
            .collect();
        prop_assert_eq!(parse(&render(&newest).unwrap()).unwrap(), newest);
    }

    #[test]
    fn nothing_in_a_file_stops_it(text: Vec<u8>) {
        let _ = parse(&text);
    }
}
