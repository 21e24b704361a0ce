//! The query string of a health check: a lag limit, tags that must match, and which position counts.
//! Nothing in it is an error: what cannot be read is as if it were absent, as in Patroni.

use axum::extract::Query as Pairs;
use axum::http::Uri;
use serde_json::{Map, Value};

use crate::config::parse_size_bytes;

/// What a health check asks for besides its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request's target. Empty values are dropped.
    pub fn of(uri: &Uri) -> Self {
        if uri.query().is_none_or(str::is_empty) {
            return Self::default();
        }
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        let mut pairs = pairs.map_or_else(|_| Vec::new(), |Pairs(pairs)| pairs);
        pairs.retain(|(_, value)| !value.is_empty());
        Self(pairs)
    }

    /// The value of a key; of a repeated one the first.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == key).map(|(_, value)| value.as_str())
    }

    /// The `lag` limit in bytes, if there is one that can be read.
    pub fn lag_bytes_max(&self) -> Option<u64> {
        parse_size_bytes(self.first("lag")?)
    }

    /// Whether `mode=write` asks for the received position instead of the replayed one.
    pub fn counts_received(&self) -> bool {
        self.first("mode") == Some("write")
    }

    /// Whether each `tag_<name>` matches the member's tag of that name.
    pub fn tags_match(&self, tags: &Map<String, Value>) -> bool {
        self.0.iter().all(|(key, _)| {
            let Some(name) = key.strip_prefix("tag_") else { return true };
            let wanted = self.first(key).unwrap_or_default();
            tags.get(name).is_some_and(|tag| is_text_of(tag, wanted))
        })
    }
}

/// Text compares exactly, everything else by its lower-case text.
fn is_text_of(tag: &Value, wanted: &str) -> bool {
    match tag {
        Value::String(text) => text == wanted,
        other => other.to_string().to_lowercase() == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn query(text: &str) -> Query {
        Query::of(&format!("/replica?{text}").parse().unwrap())
    }

    #[test]
    fn the_first_of_a_repeated_key_counts_and_blank_ones_do_not() {
        assert_eq!(query("lag=1kB&lag=5").lag_bytes_max(), Some(1024));
        assert_eq!(query("lag=&lag=5").lag_bytes_max(), Some(5));
        assert_eq!(query("lag=").lag_bytes_max(), None);
        assert_eq!(query("lag=1KB").lag_bytes_max(), None);
        assert_eq!(query("lag=16%20kB").lag_bytes_max(), Some(16_384));
    }

    #[test]
    fn tags_match_by_their_text() {
        let tags = json!({"dc": "East", "clonefrom": true, "priority": 10});
        let tags = tags.as_object().unwrap();
        for (text, matches) in [
            ("", true),
            ("tag_dc=East", true),
            ("tag_dc=east", false),
            ("tag_clonefrom=true", true),
            ("tag_clonefrom=True", false),
            ("tag_priority=10&tag_dc=East", true),
            ("tag_priority=11&tag_dc=East", false),
            ("tag_none=1", false),
            ("tag_none=", true),
            ("other=1", true),
        ] {
            assert_eq!(query(text).tags_match(tags), matches, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_query_can_be_read(text in "[!-~]{0,60}") {
            if let Ok(uri) = format!("/replica?{text}").parse() {
                let query = Query::of(&uri);
                query.lag_bytes_max();
                query.tags_match(&Map::new());
            }
        }
    }
}
