//! Relay connections over pages by key.

use std::borrow::Cow;

use async_graphql::connection::PageInfo;
use async_graphql::{OutputType, Result, SimpleObject, TypeName};
use uuid::Uuid;

use super::{error, id};
use crate::store::{Page, Slice};

/// A page of a list (Relay cursor connection). The library's own type has no description.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub(super) struct List<N: OutputType> {
    /// The items of this page with their cursors, in the list's order.
    edges: Vec<Edge<N>>,
    /// Whether there is more on either side, and from where to go on.
    page_info: PageInfo,
}

impl<N: OutputType> TypeName for List<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

/// An item of a list.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub(super) struct Edge<N: OutputType> {
    /// The item itself.
    node: N,
    /// Give it as `after` or `before` to go on from this item.
    cursor: String,
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

/// How many items when nobody says.
const DEFAULT: i32 = 50;
/// The most items of one page.
pub(super) const MAX: i32 = 250;

/// What a list costs: itself, and for each item asked for one, plus one for each ten of its fields. A page of 250
/// items with twenty fields passes the limit of 1,000; lists of 50 within lists of 50 do not.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, child: usize) -> usize {
    items_cost(first.or(last).unwrap_or(DEFAULT), child)
}

/// As [`cost`], for this many items.
pub(super) fn items_cost(items: i32, child: usize) -> usize {
    // One more than the most is refused when it is resolved, with a better message.
    let items = usize::try_from(items.clamp(0, MAX + 1)).unwrap_or(0);
    2 + items * (1 + child / 10)
}

/// The arguments of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl Window {
    /// The page that is asked for.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a number below 0 or above [`MAX`], a cursor that was never given out, or arguments that
    /// do not go together.
    pub(super) fn page(&self) -> Result<Page> {
        self.beyond(id::read_row_cursor)
    }

    /// The page that is asked for of a list of numbered things.
    ///
    /// # Errors
    /// As [`Window::page`].
    pub(super) fn numbers(&self) -> Result<Page<i64>> {
        self.beyond(id::read_number_cursor)
    }

    fn beyond<K>(&self, read: impl Fn(&str) -> Option<K>) -> Result<Page<K>> {
        let forward = self.first.is_some() || self.after.is_some();
        let backward = self.last.is_some() || self.before.is_some();
        if forward && backward {
            return Err(error::invalid("Use `first` with `after`, or `last` with `before`."));
        }
        let cursor = self.after.as_deref().or(self.before.as_deref());
        let known = |cursor| read(cursor).ok_or_else(|| error::invalid("This is not a cursor of a list."));
        let limit = limit(self.first.or(self.last), DEFAULT)?;
        Ok(Page { beyond: cursor.map(known).transpose()?, limit, backward })
    }
}

/// How many items are asked for.
///
/// # Errors
/// `INVALID_INPUT` below 0 or above [`MAX`].
pub(super) fn limit(asked: Option<i32>, default: i32) -> Result<u64> {
    let asked = asked.unwrap_or(default);
    u64::try_from(asked)
        .ok()
        .filter(|_| asked <= MAX)
        .ok_or_else(|| error::invalid("`first` and `last` are from 0 to 250."))
}

/// The list as it leaves.
pub(super) fn list<T, N: OutputType>(
    slice: Slice<T>,
    uuid: impl Fn(&T) -> Uuid,
    make: impl Fn(T) -> N,
) -> List<N> {
    list_by(slice, |item| id::row_cursor(uuid(item)), make)
}

/// As [`list`], with cursors of its own.
pub(super) fn list_by<T, N: OutputType>(
    slice: Slice<T>,
    cursor: impl Fn(&T) -> String,
    make: impl Fn(T) -> N,
) -> List<N> {
    let edge = |item: T| Edge { cursor: cursor(&item), node: make(item) };
    let edges: Vec<Edge<N>> = slice.items.into_iter().map(edge).collect();
    let page_info = PageInfo {
        has_previous_page: slice.has_previous,
        has_next_page: slice.has_next,
        start_cursor: edges.first().map(|edge| edge.cursor.clone()),
        end_cursor: edges.last().map(|edge| edge.cursor.clone()),
    };
    List { edges, page_info }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(first: Option<i32>, last: Option<i32>) -> Window {
        Window { first, last, ..Window::default() }
    }

    #[test]
    fn a_page_has_50_items_unless_told_and_250_at_most() {
        assert_eq!(window(None, None).page().unwrap().limit, 50);
        assert_eq!(window(Some(0), None).page().unwrap().limit, 0);
        assert_eq!(window(None, Some(250)).page().unwrap().limit, 250);
        for (first, last) in [(Some(251), None), (Some(-1), None), (None, Some(-1)), (None, Some(i32::MAX))] {
            assert!(window(first, last).page().is_err(), "{first:?} {last:?}");
        }
    }

    #[test]
    fn the_two_ways_do_not_mix() {
        assert!(window(Some(2), Some(1)).page().is_err());
        let after = Window { after: Some(id::row_cursor(Uuid::nil())), last: Some(1), ..Window::default() };
        assert!(after.page().is_err());
    }

    #[test]
    fn a_list_in_a_list_costs_their_product() {
        assert!(cost(Some(250), None, 20) <= 1000);
        assert!(cost(Some(50), None, cost(Some(50), None, 10)) > 500);
        assert!(cost(Some(250), None, cost(Some(50), None, 10)) > 1000);
        assert_eq!(cost(Some(i32::MAX), None, 0), 2 + 251);
    }
}
