//! Pages by key: ids sort by time, so the id of the last row is where the next page begins.

use uuid::Uuid;

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page<K = Uuid> {
    /// Rows older than this one (forward), or newer (backward).
    pub beyond: Option<K>,
    /// How many rows, 1 to 250.
    pub limit: u64,
    /// From the far end back.
    pub backward: bool,
}

/// A part of a list, in the list's order, and whether there is more on either side.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether rows follow.
    pub has_next: bool,
    /// Whether rows come before.
    pub has_previous: bool,
}

impl<K> Page<K> {
    /// Makes the slice from one row more than was asked for.
    pub(super) fn slice<T>(self, mut rows: Vec<T>) -> Slice<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        if self.backward {
            rows.reverse();
            Slice { items: rows, has_next: self.beyond.is_some(), has_previous: more }
        } else {
            Slice { items: rows, has_next: more, has_previous: self.beyond.is_some() }
        }
    }
}

impl<K: PartialEq> Page<K> {
    /// The slice of a list that is whole in memory, in its order; none when what the page begins behind is not in the
    /// list any more.
    pub fn of<T>(self, items: Vec<T>, key: impl Fn(&T) -> K) -> Option<Slice<T>> {
        let at = match &self.beyond {
            Some(beyond) => Some(items.iter().position(|item| key(item) == *beyond)?),
            None => None,
        };
        let rest: Vec<T> = if self.backward {
            let before = at.unwrap_or(items.len());
            items.into_iter().take(before).rev().collect()
        } else {
            items.into_iter().skip(at.map_or(0, |at| at + 1)).collect()
        };
        Some(self.slice(rest))
    }
}

impl<T> Default for Slice<T> {
    /// The whole of a list with nothing in it.
    fn default() -> Self {
        Self { items: Vec::new(), has_next: false, has_previous: false }
    }
}

impl<T> Slice<T> {
    /// The same part of the list of what becomes of each row.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Slice<U> {
        let Self { items, has_next, has_previous } = self;
        Slice { items: items.into_iter().map(each).collect(), has_next, has_previous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(beyond: Option<u32>, limit: u64, backward: bool) -> Option<(Vec<u32>, bool, bool)> {
        let slice = Page { beyond, limit, backward }.of(vec![7, 3, 9, 1], |item| *item)?;
        Some((slice.items, slice.has_previous, slice.has_next))
    }

    #[test]
    fn a_list_in_memory_is_paged_in_its_own_order_from_either_end() {
        assert_eq!(page(None, 2, false), Some((vec![7, 3], false, true)));
        assert_eq!(page(Some(3), 2, false), Some((vec![9, 1], true, false)));
        assert_eq!(page(Some(1), 2, false), Some((vec![], true, false)));
        assert_eq!(page(None, 3, true), Some((vec![3, 9, 1], true, false)));
        assert_eq!(page(Some(9), 1, true), Some((vec![3], true, true)));
        assert_eq!(page(Some(3), 5, true), Some((vec![7], false, true)));
    }

    #[test]
    fn a_page_behind_what_is_gone_is_none() {
        assert_eq!(page(Some(4), 2, false), None);
        assert_eq!(page(Some(4), 2, true), None);
    }
}
