//! A span: what was done, for which trace, from when to when, and what is known of it.

use std::borrow::Cow;

use super::trace::{SpanId, Trace, TraceId};

/// Characters of a text that somebody else wrote: an event's type, say.
const TEXT_CHARS_MAX: usize = 256;

/// What was done for a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// The trace's flags, as they came or began.
    pub flags: u8,
    /// Its own id.
    pub id: SpanId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Whether that one is somebody else's.
    pub is_parent_remote: bool,
    /// The sender's `tracestate`; empty where there is none.
    pub state: String,
    /// Another span that has to do with it.
    pub link: Option<Link>,
    /// Its part in a conversation.
    pub kind: Kind,
    /// What is done, for which source or destination.
    pub name: String,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// What is known of it, under the names of OpenTelemetry's semantic conventions or `hookhold.`.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed; `None` where it did not.
    pub error: Option<Cow<'static, str>>,
}

/// A span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// That trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
}

/// A span's part in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Between neither.
    Internal,
    /// It was asked.
    Server,
    /// It asked.
    Client,
}

/// What is known of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl Span {
    /// A span of `trace` without a parent, a time, or anything that is known of it.
    pub fn of(trace: &Trace, id: SpanId, kind: Kind, name: impl Into<String>) -> Self {
        Self {
            trace: trace.id,
            flags: trace.flags,
            id,
            parent: None,
            is_parent_remote: false,
            state: String::new(),
            link: None,
            kind,
            name: name.into(),
            start_ns: 0,
            end_ns: 0,
            attributes: Vec::new(),
            error: None,
        }
    }

    /// Adds a word of ours.
    pub fn word(&mut self, name: &'static str, word: &'static str) {
        self.attributes.push((name, Value::Text(Cow::Borrowed(word))));
    }

    /// Adds a text; one that is very long is cut.
    pub fn text(&mut self, name: &'static str, text: impl Into<String>) {
        let mut text = text.into();
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
        }
        self.attributes.push((name, Value::Text(Cow::Owned(text))));
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, number: impl TryInto<i64>) {
        self.attributes.push((name, Value::Number(number.try_into().unwrap_or(i64::MAX))));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spans;
    use super::*;

    #[test]
    fn long_texts_are_cut_and_numbers_stay_in_range() {
        let mut span = Span::of(&Trace::anew(1, 2, &Spans::default()), [1; 8], Kind::Server, "accept gh");
        span.text("a", "ü".repeat(300));
        span.text("b", "short");
        span.number("c", u64::MAX);
        let text = |text: &str| Value::Text(text.to_owned().into());
        assert_eq!(span.attributes, [("a", text(&"ü".repeat(256))), ("b", text("short")), ("c", Value::Number(i64::MAX))]);
    }
}
