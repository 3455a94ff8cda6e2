//! Tests of the whole: one binary, one file a story.

mod tidy;
