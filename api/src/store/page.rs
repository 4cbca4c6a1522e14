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
