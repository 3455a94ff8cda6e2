//! Tests of what users see, in one binary.

mod admin;
mod store_story;
