//! Directories that several runtimes share. Their tors mostly have the same consensus, and its rings take
//! half a megabyte.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::survey::SurveyTurns;

/// The directories of the runtimes of one version, and their turns to survey by them.
pub struct Directories<D> {
    known: Arc<Mutex<Vec<Weak<D>>>>,
    turns: SurveyTurns,
}

impl<D: Eq> Directories<D> {
    /// The directory that is equal to this one, if a runtime has it, and otherwise this one.
    pub(super) fn share(&self, directory: D) -> Arc<D> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|directory| directory.strong_count() > 0);
        if let Some(equal) = known.iter().filter_map(Weak::upgrade).find(|equal| **equal == directory) {
            return equal;
        }
        let new = Arc::new(directory);
        known.push(Arc::downgrade(&new));
        new
    }
}

impl<D> Directories<D> {
    pub(super) fn turns(&self) -> &SurveyTurns {
        &self.turns
    }
}

impl<D> Default for Directories<D> {
    /// No directory.
    fn default() -> Self {
        Self { known: Arc::default(), turns: SurveyTurns::default() }
    }
}

// A derived one would demand that a directory can be cloned, too.
impl<D> Clone for Directories<D> {
    fn clone(&self) -> Self {
        Self { known: self.known.clone(), turns: self.turns.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_one_as_long_as_somebody_has_it() {
        let directories = Directories::default();
        let one = directories.share(vec![1]);
        let other = directories.clone().share(vec![2]);
        assert!(Arc::ptr_eq(&one, &directories.share(vec![1])));
        assert!(Arc::ptr_eq(&other, &directories.share(vec![2])));
        drop(one);
        directories.share(vec![3]);
        assert_eq!(directories.known.lock().unwrap().len(), 2);
    }
}
