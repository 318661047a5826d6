use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::engine::{Drain, ServiceId};

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

#[tokio::test]
async fn what_was_noted_is_there_the_next_time() {
    let (directory, path) = place();
    let memory = Memory::read(path.clone());
    assert!(memory.recall().is_empty());
    memory.note(&"a.onion".into(), newest(7));
    memory.note(&"b.onion".into(), newest(1));
    memory.note(&"a.onion".into(), newest(9));
    memory.end(NOW).await;
    assert_eq!(names(directory.path()), ["state.json"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Memory::read(path);
    assert_eq!(again.recall(), memory.recall());
    assert_eq!(again.recall()[&"a.onion".into()], newest(9));
}

#[tokio::test]
async fn a_file_that_makes_no_sense_is_moved_aside_and_told() {
    for text in ["", "{", "[]", "{\"version\":\"2\",\"backends\":{}}", "{\"version\":\"1\"}", "\u{0}\u{0}"] {
        let (directory, path) = place();
        fs::write(&path, text).unwrap();
        let error = StateFile::at(path.clone()).read().unwrap_err().to_string();
        assert!(error.contains("is not valid") && error.contains("was moved to"), "{error}");
        assert_eq!(names(directory.path()), ["state.json.corrupt"]);
        let aside = fs::read_to_string(directory.path().join("state.json.corrupt")).unwrap();
        assert_eq!(aside, text);
        let memory = Memory::read(path);
        memory.note(&"a.onion".into(), newest(1));
        memory.end(NOW).await;
        assert_eq!(names(directory.path()), ["state.json", "state.json.corrupt"]);
    }
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let error = parse(&vec![b' '; 74_880_001]).unwrap_err();
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
    assert!(error.contains("not a regular file"), "{error}");
    assert_eq!(names(directory.path()), ["state.json"]);
}

#[tokio::test]
async fn trouble_with_the_file_loses_nothing_that_is_known() {
    let (directory, _) = place();
    let path = directory.path().join("not-there/state.json");
    let memory = Memory::read(path.clone());
    memory.note(&"a.onion".into(), newest(1));
    memory.end(NOW).await;
    fs::create_dir(directory.path().join("not-there")).unwrap();
    memory.end(NOW).await;
    assert_eq!(Memory::read(path).recall(), memory.recall());
}

fn drains(until: Option<UnixTime>) -> AllDrains {
    [("shop.onion".into(), [("a.onion".into(), Drain { until })].into_iter().collect())].into()
}

#[tokio::test]
async fn drains_are_in_the_file_at_once() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    let mut watch = memory.watch_drains();
    memory.set_drains(drains(None));
    assert!(watch.has_changed().unwrap());
    assert_eq!(**watch.borrow_and_update(), drains(None));
    memory.keep_drains(NOW).await.unwrap();
    assert_eq!(*Memory::read(path.clone()).drains(), drains(None));

    // Nothing changes, and nothing is written.
    fs::remove_file(&path).unwrap();
    memory.set_drains(drains(None));
    memory.keep_drains(NOW).await.unwrap();
    assert!(!watch.has_changed().unwrap() && !path.try_exists().unwrap());

    memory.set_drains([("shop.onion".into(), Drains::default())].into());
    memory.keep_drains(NOW).await.unwrap();
    assert!(Memory::read(path.clone()).drains().is_empty());
    assert!(!fs::read_to_string(path).unwrap().contains("drains"));
}

#[tokio::test]
async fn drains_end_by_the_clock_and_with_their_backends() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.set_drains(drains(Some(NOW)));
    memory.forget_ended_drains(NOW.minus(1));
    memory.forget_drains(|service, backend| (&*service.0, &*backend.0) == ("shop.onion", "a.onion"));
    assert_eq!(*memory.drains(), drains(Some(NOW)));
    memory.forget_ended_drains(NOW);
    assert!(memory.drains().is_empty());
    memory.set_drains(drains(None));
    memory.forget_ended_drains(UnixTime(u64::MAX));
    assert_eq!(*memory.drains(), drains(None));
    memory.forget_drains(|_, backend| &*backend.0 != "a.onion");
    memory.keep_drains(NOW).await.unwrap();
    assert!(Memory::read(path).drains().is_empty());
}

#[tokio::test]
async fn a_drain_that_is_not_kept_is_told_and_kept_later() {
    let nowhere = Memory::default();
    nowhere.set_drains(drains(None));
    assert!(matches!(nowhere.keep_drains(NOW).await, Err(NotKept::NoFile)));
    assert_eq!(*nowhere.drains(), drains(None));

    let (directory, _) = place();
    let path = directory.path().join("not-there/state.json");
    let memory = Memory::read(path.clone());
    memory.set_drains(drains(None));
    assert!(matches!(memory.keep_drains(NOW).await, Err(NotKept::Unwritable(_))));
    fs::create_dir(directory.path().join("not-there")).unwrap();
    memory.keep_drains(NOW).await.unwrap();
    assert_eq!(*Memory::read(path).drains(), drains(None));
}

#[test]
fn a_file_of_a_release_without_drains_is_read() {
    let text = br#"{"version":"1","backends":{"a.onion":{"period":7,"revision":1,"published":5,"seen":5}}}"#;
    let contents = parse(text).unwrap();
    assert!(contents.newest.len() == 1 && contents.drains.is_empty());
}

#[tokio::test]
async fn what_no_hsdir_has_any_more_is_forgotten() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.note(&"old.onion".into(), Newest { published: NOW.minus(FORGOTTEN_AFTER), ..newest(1) });
    memory.note(&"ahead.onion".into(), Newest { published: NOW.plus(86400), ..newest(1) });
    memory.end(NOW).await;
    assert_eq!(Memory::read(path).recall().keys().collect::<Vec<_>>(), [&"ahead.onion".into()]);
}

#[tokio::test(start_paused = true)]
async fn news_is_gathered_and_written_by_itself() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.note(&"a.onion".into(), newest(3));
    assert!(timeout(GATHER / 2, memory.keep(|| NOW)).await.is_err());
    assert!(!path.try_exists().unwrap());
    memory.note(&"b.onion".into(), newest(1));
    assert!(timeout(GATHER * 2, memory.keep(|| NOW)).await.is_err());
    // The thread runs in real time.
    tokio::time::resume();
    memory.end(NOW).await;
    assert_eq!(Memory::read(path).recall(), memory.recall());
}

#[tokio::test]
async fn nothing_is_written_without_news() {
    let (_directory, path) = place();
    let memory = Memory::read(path.clone());
    memory.end(NOW).await;
    assert!(!path.try_exists().unwrap());
    memory.note(&"a.onion".into(), newest(3));
    memory.end(NOW).await;
    fs::remove_file(&path).unwrap();
    memory.note(&"a.onion".into(), newest(3));
    memory.end(NOW).await;
    assert!(!path.try_exists().unwrap());
}

#[test]
fn a_tor_that_lags_does_not_replace_the_newer_word() {
    let memory = Memory::default();
    let noted = |period, revision| {
        memory.note(&"a.onion".into(), Newest { period, ..newest(revision) });
        let Newest { period, revision, .. } = memory.recall()[&"a.onion".into()];
        (period, revision)
    };
    assert_eq!(noted(7, 20), (7, 20));
    assert_eq!(noted(7, 10), (7, 20));
    assert_eq!(noted(6, 30), (7, 20));
    assert_eq!(noted(7, 21), (7, 21));
    // Revisions of different periods cannot be compared.
    assert_eq!(noted(8, 5), (8, 5));
}

/// A FIFO in the new file's place acts as the disk: opening it blocks until it has a reader, and it cannot be
/// synchronized.
#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_stops_nothing() {
    let (directory, path) = place();
    let disk = directory.path().join("state.json.new");
    mkfifo(&disk, Mode::S_IRWXU).unwrap();
    let memory = Memory::read(path.clone());
    memory.note(&"a.onion".into(), newest(1));
    assert!(timeout(GATHER * 5, memory.keep(|| NOW)).await.is_err());
    // One writer hangs. Everything else goes on, and so does the end of the process.
    memory.note(&"a.onion".into(), newest(2));
    assert_eq!(memory.recall()[&"a.onion".into()], newest(2));
    let begun = Instant::now();
    memory.end(NOW).await;
    assert_eq!(begun.elapsed(), END_WITHIN);

    tokio::time::resume();
    let mut written = String::new();
    File::open(&disk).unwrap().read_to_string(&mut written).unwrap();
    assert_eq!(parse(written.as_bytes()).unwrap().newest[&"a.onion".into()], newest(1));
    fs::remove_file(&disk).unwrap();
    memory.end(NOW).await;
    assert_eq!(names(directory.path()), ["state.json"]);
    assert_eq!(Memory::read(path).recall()[&"a.onion".into()], newest(2));
}

proptest! {
    #[test]
    fn reads_what_it_writes(
        entries in proptest::collection::btree_map(".{0,70}", any::<(u64, u64, u64, u64)>(), 0..20),
        drained in proptest::collection::vec((".{0,9}", ".{0,9}", any::<Option<u64>>()), 0..9),
    ) {
        let newest: BTreeMap<BackendId, Newest> = entries
            .iter()
            .map(|(name, (period, revision, published, seen))| {
                let (published, seen) = (UnixTime(*published), UnixTime(*seen));
                let newest = Newest { period: *period, revision: *revision, published, seen };
                (BackendId::from(name.as_str()), newest)
            })
            .collect();
        let mut drains = AllDrains::new();
        for (service, backend, until) in drained {
            let of_service = drains.entry(ServiceId::from(service.as_str())).or_default();
            of_service.insert(backend.as_str().into(), Drain { until: until.map(UnixTime) });
        }
        let contents = Contents { newest, drains };
        prop_assert_eq!(parse(&render(&contents).unwrap()).unwrap(), contents);
    }

    #[test]
    fn nothing_in_a_file_stops_it(text: Vec<u8>) {
        let _ = parse(&text);
    }
}
