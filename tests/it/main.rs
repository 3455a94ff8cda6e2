//! Tests of what users see, in one binary.

mod store_story;
