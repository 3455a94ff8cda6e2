//! Reads what a request names: the query's parameters, and the id in its path. What is unknown, wrong or given twice is an error
//! that names the field; a parameter without a value is as good as not given.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use url::form_urlencoded;

use super::problem::Problem;
use crate::record::Name;
use crate::store::{Cursor, Page};
use crate::time::Timestamp;

/// Items of a page where nothing is said.
pub(super) const LIMIT_DEFAULT: usize = 50;
/// Keeps one answer, and the store's work for it, bounded.
pub(super) const LIMIT_MAX: usize = 500;

/// The query's parameters.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Those that are not taken yet.
    left: Vec<(String, String)>,
    /// What was asked for, so that an error can say what is known.
    known: Vec<String>,
}

/// No parameters: what has any is refused.
pub(super) struct NoParameters;

/// The `{id}` of the path; what is no id is not there (404).
pub(super) struct Id<T>(pub(super) T);

/// A page of a list that is sorted by name.
pub(super) struct NamedPage {
    after: Option<Name>,
    limit: usize,
}

impl Parameters {
    fn parse(query: &str) -> Self {
        Self { left: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), known: Vec::new() }
    }

    /// Takes `field`; `expected` ends the sentence of the error where `read` finds nothing in it.
    pub(super) fn take<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.only(field)? else { return Ok(None) };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::field(field, format!("{field} must be {expected}"))),
        }
    }

    /// Takes any text.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, Problem> {
        self.only(field)
    }

    /// Takes the name of a source or a destination.
    pub(super) fn name(&mut self, field: &str) -> Result<Option<Name>, Problem> {
        self.take(field, "the name of a source or a destination", |text| Name::try_new(text).ok())
    }

    /// Takes a time.
    pub(super) fn time(&mut self, field: &str) -> Result<Option<Timestamp>, Problem> {
        self.take(field, "a time in RFC 3339, like 2026-11-25T10:00:00Z", Timestamp::parse_rfc3339)
    }

    /// Takes `limit` and `cursor`.
    pub(super) fn page(&mut self) -> Result<Page, Problem> {
        let limit = self.limit()?;
        let after = self.take("cursor", "the `next` of an earlier page", |text| text.parse::<Cursor>().ok())?;
        Ok(Page { after, limit })
    }

    /// Takes `limit` and `cursor` of a list whose cursor is its last id.
    pub(super) fn page_of_ids<T: FromStr>(&mut self) -> Result<(Option<T>, usize), Problem> {
        let limit = self.limit()?;
        let after = self.take("cursor", "the `next` of an earlier page", |text| text.parse().ok())?;
        Ok((after, limit))
    }

    /// Takes `limit` and `cursor` of a list that is sorted by name.
    pub(super) fn named_page(&mut self) -> Result<NamedPage, Problem> {
        let limit = self.limit()?;
        let after = self.take("cursor", "the `next` of an earlier page", |text| Name::try_new(text).ok())?;
        Ok(NamedPage { after, limit })
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some((field, _)) = self.left.into_iter().next() else { return Ok(()) };
        let known = match self.known.as_slice() {
            [] => "none is".to_owned(),
            known => format!("known are {}", known.join(", ")),
        };
        Err(Problem::field(field, format!("this parameter is not known here; {known}")))
    }

    fn limit(&mut self) -> Result<usize, Problem> {
        let read = |text: &str| text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
        let limit = self.take("limit", &format!("a number from 1 to {LIMIT_MAX}"), read)?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    /// The one value of `field`; empty is none.
    fn only(&mut self, field: &str) -> Result<Option<String>, Problem> {
        self.known.push(field.to_owned());
        let mut given: Vec<String> = self.left.extract_if(.., |(name, _)| name == field).map(|(_, value)| value).collect();
        match given.len() {
            0 | 1 => Ok(given.pop().filter(|value| !value.is_empty())),
            _ => Err(Problem::field(field, format!("{field} is given twice"))),
        }
    }
}

impl NamedPage {
    /// The items of this page, by name, and where the next one starts.
    pub(super) fn of<'a, T>(&self, all: &'a [Arc<T>], name: impl Fn(&T) -> &Name) -> (Vec<&'a T>, Option<String>) {
        let mut items: Vec<&T> = all.iter().map(Arc::as_ref).collect();
        items.retain(|item| self.after.as_ref().is_none_or(|after| name(item) > after));
        items.sort_by(|a, b| name(a).cmp(name(b)));
        self.cut(items, |item| name(item))
    }

    /// This page of items that are in another order. Where the one that ended the earlier page is gone meanwhile, it begins anew.
    pub(super) fn of_ordered<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &Name) -> (Vec<T>, Option<String>) {
        let ended = self.after.as_ref().and_then(|after| items.iter().position(|item| name(item) == after));
        items.drain(..ended.map_or(0, |at| at + 1));
        self.cut(items, name)
    }

    fn cut<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &Name) -> (Vec<T>, Option<String>) {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| more).map(|last| name(last).to_string());
        (items, next)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Parameters::parse(parts.uri.query().unwrap_or_default()).finish().map(|()| Self)
    }
}

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| Problem::not_found("nothing has this id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(query: &str) -> Option<usize> {
        Parameters::parse(query).page().ok().map(|page| page.limit)
    }

    #[test]
    fn a_page_is_bounded() {
        let limits = ["", "limit=", "limit=1", "limit=500", "limit=0", "limit=501", "limit=-1", "limit=x", "limit=1&limit=2"];
        let read = [Some(50), Some(50), Some(1), Some(500), None, None, None, None, None];
        assert_eq!(limits.map(limit), read);
    }

    #[test]
    fn what_is_left_is_refused() {
        let mut parameters = Parameters::parse("since=2026-11-25T12%3A00%3A00%2B02:00&colour=red");
        assert_eq!(parameters.time("since").unwrap(), Timestamp::parse("2026-11-25T10:00:00Z"));
        assert!(parameters.finish().is_err());
        assert!(Parameters::parse("source=a/b").name("source").is_err());
        assert!(Parameters::parse("&").finish().is_ok());
    }

    #[test]
    fn pages_by_name_join() {
        let names = ["b", "a", "c"].map(|n| Arc::new(Name::try_new(n).unwrap()));
        let page = |query: &str| Parameters::parse(query).named_page().unwrap();
        let text = |(items, next): (Vec<&Name>, Option<String>)| (items.iter().map(|n| n.to_string()).collect::<String>(), next);
        assert_eq!(text(page("limit=2").of(&names, |n| n)), ("ab".to_owned(), Some("b".to_owned())));
        assert_eq!(text(page("limit=2&cursor=b").of(&names, |n| n)), ("c".to_owned(), None));
        let ordered = |query: &str| text(page(query).of_ordered(vec![&*names[2], &*names[0], &*names[1]], |n| n));
        assert_eq!(ordered("limit=2"), ("cb".to_owned(), Some("b".to_owned())));
        assert_eq!(ordered("limit=2&cursor=b"), ("a".to_owned(), None));
        assert_eq!(ordered("limit=2&cursor=gone"), ("cb".to_owned(), Some("b".to_owned())));
    }
}
