//! Texts that are signed and that no template can say, one file each. Each gives its pieces in order.

pub(super) mod jira;
pub(super) mod php;
pub(super) mod sns;
