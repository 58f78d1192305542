//! Keys of the schema whose features are not built yet: a later issue deletes its lines here.
#![deny(clippy::disallowed_methods)]

/// One key that is known but refused.
pub(super) struct Later {
    /// The kind of table, such as `node.limits`; empty for the top.
    table: &'static str,
    key: &'static str,
    /// What the server does instead.
    pub(super) instead: &'static str,
}

/// The keys of a kind of table.
pub(super) fn keys(table: &str) -> impl Iterator<Item = &str> {
    LATER.iter().filter(move |later| later.table == table).map(|later| later.key)
}

/// The key, if it is known but refused.
pub(super) fn find_key(table: &str, key: &str) -> Option<&'static Later> {
    LATER.iter().find(|later| later.table == table && later.key == key)
}

const fn key(table: &'static str, key: &'static str, instead: &'static str) -> Later {
    Later { table, key, instead }
}

const LATER: &[Later] = &[key("server", "token_file", "the admin address stays on loopback")];
