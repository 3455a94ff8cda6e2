//! A list that nearly always has one element, which then stands in the list itself: to ask for memory for it would cost as much as
//! a block of a hash.

use std::iter::Chain;
use std::option;
use std::slice;

/// Some elements, in order.
#[derive(Clone, Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Few<T> {
    /// Without any.
    pub(super) const fn new() -> Self {
        Self { first: None, more: Vec::new() }
    }

    /// Adds one at the end.
    pub(super) fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.more.push(element),
        }
    }

    pub(super) fn iter(&self) -> Chain<option::Iter<'_, T>, slice::Iter<'_, T>> {
        self.first.iter().chain(&self.more)
    }

    /// The only one; `None` where there is none or several.
    pub(super) fn only(&self) -> Option<&T> {
        self.first.as_ref().filter(|_| self.more.is_empty())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = Chain<option::Iter<'a, T>, slice::Iter<'a, T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_in_order() {
        let mut few = Few::new();
        assert!(few.is_empty() && few.only().is_none());
        for added in 1..=3 {
            few.push(added);
            assert_eq!((few.is_empty(), few.iter().last()), (false, Some(&added)));
            assert_eq!(few.only().is_some(), added == 1);
        }
        assert_eq!(few.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
