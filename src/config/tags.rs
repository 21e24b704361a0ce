//! What a member may be used for, and how it is published to the others.

use serde_json::{Map, Value};

use super::scalar_rules::parse_bool;

/// The tags of a member: this node's, or those another member published.
#[derive(Clone, Debug, PartialEq)]
pub struct Tags {
    /// Never leader.
    pub nofailover: bool,
    /// Preferred at equal positions when higher; 0 when the member may not lead.
    pub failover_priority: i64,
    /// Health checks for reads answer 503.
    pub noloadbalance: bool,
    /// Preferred source of base backups.
    pub clonefrom: bool,
    /// Never a synchronous standby.
    pub nosync: bool,
    /// Preferred as synchronous standby when higher; 0 when it may not be one.
    pub sync_priority: i64,
    /// Member to stream from instead of the leader.
    pub replicatefrom: Option<String>,
    /// No streaming and no slot: lives on `restore_command`.
    pub nostream: bool,
    /// Tags of the user's own.
    pub custom: Map<String, Value>,
    given: Map<String, Value>,
}

/// The tags that mean something to the agents.
const OUR_OWN: [&str; 8] = [
    "nofailover",
    "failover_priority",
    "noloadbalance",
    "clonefrom",
    "nosync",
    "sync_priority",
    "replicatefrom",
    "nostream",
];

impl Default for Tags {
    fn default() -> Self {
        Self::from_map(&Map::new()).0
    }
}

impl Tags {
    /// Reads tags as Patroni does, and says what contradicts itself in them.
    pub fn from_map(given: &Map<String, Value>) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let failover = barrier(given, "nofailover", "failover_priority", &mut warnings);
        let sync = barrier(given, "nosync", "sync_priority", &mut warnings);
        let is_set = |name: &str| given.get(name).is_some_and(is_truthy);
        let tags = Self {
            nofailover: failover == 0,
            failover_priority: failover,
            noloadbalance: is_set("noloadbalance"),
            clonefrom: is_set("clonefrom"),
            nosync: sync == 0,
            sync_priority: sync,
            replicatefrom: given.get("replicatefrom").filter(|v| is_truthy(v)).map(text_of),
            nostream: given.get("nostream").and_then(parse_bool).unwrap_or(false),
            custom: given
                .iter()
                .filter(|(name, _)| !OUR_OWN.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            given: given.clone(),
        };
        (tags, warnings)
    }

    /// Whether this member may become leader.
    pub fn may_lead(&self) -> bool {
        !self.nofailover
    }

    /// The tags as the member's record carries them: what was given, without what is off.
    pub fn published(&self) -> Map<String, Value> {
        let off_is_left_out = |name: &str| match name {
            "nofailover" => !self.given.contains_key("failover_priority"),
            "nosync" => !self.given.contains_key("sync_priority"),
            _ => matches!(name, "clonefrom" | "noloadbalance" | "nostream"),
        };
        self.given
            .iter()
            .filter(|(name, value)| is_truthy(value) || !off_is_left_out(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// The priority that a boolean and a number together give; 0 where the member is barred.
fn barrier(
    given: &Map<String, Value>,
    bar: &str,
    priority: &str,
    warnings: &mut Vec<String>,
) -> i64 {
    let number = given.get(priority).and_then(whole_number);
    let Some(barred) = given.get(bar).filter(|value| !value.is_null()).map(is_truthy) else {
        return number.unwrap_or(1).max(0);
    };
    if let Some(number) = number
        && barred == (number > 0)
    {
        warnings.push(format!("{bar} is {barred} and {priority} is {number}: {bar} counts"));
    }
    if barred { 0 } else { number.unwrap_or(1).max(1) }
}

fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// What Python takes for true: Patroni reads most tags so, the text `"false"` included.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tags(given: Value) -> Tags {
        Tags::from_map(given.as_object().unwrap()).0
    }

    #[test]
    fn tags_that_are_off_are_not_published() {
        let given =
            json!({"nofailover": false, "clonefrom": true, "nosync": false, "dc": "", "x": 0});
        assert_eq!(
            Value::from(tags(given).published()),
            json!({"clonefrom": true, "dc": "", "x": 0})
        );
        let given = json!({"nofailover": false, "failover_priority": 2});
        assert_eq!(Value::from(tags(given.clone()).published()), given);
    }

    #[test]
    fn the_boolean_counts_when_it_contradicts_the_priority() {
        for (given, may_lead, priority, warned) in [
            (json!({}), true, 1, false),
            (json!({"failover_priority": 0}), false, 0, false),
            (json!({"failover_priority": -3}), false, 0, false),
            (json!({"failover_priority": 7}), true, 7, false),
            (json!({"nofailover": true, "failover_priority": 7}), false, 0, true),
            (json!({"nofailover": false, "failover_priority": 0}), true, 1, true),
            (json!({"nofailover": "false"}), false, 0, false),
        ] {
            let (tags, warnings) = Tags::from_map(given.as_object().unwrap());
            assert_eq!((tags.may_lead(), tags.failover_priority), (may_lead, priority), "{given}");
            assert_eq!(!warnings.is_empty(), warned, "{given}");
        }
    }

    #[test]
    fn only_nostream_reads_words() {
        assert!(!tags(json!({"nostream": "off"})).nostream);
        assert!(tags(json!({"noloadbalance": "off"})).noloadbalance);
    }
}
