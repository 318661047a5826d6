//! Running several functions at once, on threads.

use std::thread;

use anyhow::{Result, anyhow};

/// Runs a function on all items at once, and waits for all. Returns the results in the items' order, or the
/// first error in this order.
pub(crate) fn each<I, T>(items: I, act: impl Fn(I::Item) -> Result<T> + Sync) -> Result<Vec<T>>
where
    I: IntoIterator<Item: Send>,
    T: Send,
{
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || act(item))).collect();
        let results: Vec<_> = threads.into_iter().map(|thread| flatten(thread.join())).collect();
        results.into_iter().collect()
    })
}

/// Runs two functions at once, and waits for both.
pub(crate) fn both<A: Send, B>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let thread = scope.spawn(one);
        let other = other();
        Ok((flatten(thread.join())?, other?))
    })
}

fn flatten<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.map_err(|_| anyhow!("a thread panicked"))?
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use anyhow::ensure;

    use super::*;

    #[test]
    fn does_all_at_once() {
        let meeting = Barrier::new(4);
        let meet = |number| {
            meeting.wait();
            Ok(number)
        };
        let (one, three) = both(|| meet(0), || each(1..4, meet)).unwrap();
        assert_eq!((one, three), (0, vec![1, 2, 3]));
    }

    #[test]
    fn tells_of_the_first_item_that_fails() {
        let error = each(0..4, |number| {
            ensure!(number < 2, "item {number}");
            Ok(())
        });
        assert_eq!(error.unwrap_err().to_string(), "item 2");
    }
}
