//! The slots of the dynamic document: permanent ones, and those that are never dropped.

use serde_json::{Map, Value};

use super::dynamic::Adjustment;

/// Names of slots have at most so many letters.
const NAME_MAX: usize = 63;

/// A slot that exists on whoever leads, also after a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermanentSlot {
    /// Its name.
    pub name: String,
    /// The database and the plugin of a logical one; `None` for a physical one.
    pub logical: Option<(String, String)>,
}

/// A description of slots that are never dropped: whatever is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMatcher {
    /// The slot's name.
    pub name: Option<String>,
    /// `physical` or `logical`.
    pub kind: Option<String>,
    /// The database of a logical one.
    pub database: Option<String>,
    /// Its plugin.
    pub plugin: Option<String>,
}

impl SlotMatcher {
    /// Whether it describes this slot; a physical one has no database and no plugin.
    pub fn fits(&self, name: &str, logical: Option<(&str, &str)>) -> bool {
        let kind = if logical.is_some() { "logical" } else { "physical" };
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        same(&self.name, Some(name))
            && same(&self.kind, Some(kind))
            && same(&self.database, logical.map(|(database, _)| database))
            && same(&self.plugin, logical.map(|(_, plugin)| plugin))
    }
}

/// Reads the permanent slots below `key`; what is wrong is left out, and said.
pub(super) fn permanent(
    key: &str,
    entries: &Map<String, Value>,
    adjustments: &mut Vec<Adjustment>,
) -> Vec<PermanentSlot> {
    let mut slots = Vec::new();
    for (name, value) in entries {
        match slot(name, value) {
            Ok(slot) => slots.push(slot),
            Err(why) => adjustments.push(Adjustment::new(format!("{key}.{name}"), why)),
        }
    }
    slots
}

fn slot(name: &str, value: &Value) -> Result<PermanentSlot, String> {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_letter) {
        let expected = "a slot's name: 1 to 63 of a-z, 0-9 and _";
        return Err(format!("expected {expected}: there is no such slot"));
    }
    let empty = Map::new();
    let fields = match value {
        Value::Null => &empty,
        Value::Object(fields) => fields,
        other => return Err(format!("expected a mapping, found {other}: there is no such slot")),
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let both = text("database").zip(text("plugin"));
    let logical = match (text("type"), both) {
        (Some("physical"), _) | (None, None) => None,
        (Some("logical") | None, Some((database, plugin))) => {
            Some((database.to_owned(), plugin.to_owned()))
        }
        (Some("logical"), None) => {
            let missing = "a logical slot needs both database and plugin";
            return Err(format!("{missing}: there is no such slot"));
        }
        (Some(other), _) => {
            let expected = "type: expected physical or logical";
            return Err(format!("{expected}, found {other:?}: there is no such slot"));
        }
    };
    Ok(PermanentSlot { name: name.to_owned(), logical })
}

/// Reads the descriptions; one that cannot be read protects nothing, and that is said.
pub(super) fn ignored(entries: &[Value], adjustments: &mut Vec<Adjustment>) -> Vec<SlotMatcher> {
    let mut matchers = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Value::Object(fields) = entry else {
            let why = format!("expected a mapping, found {entry}: it protects no slot");
            adjustments.push(Adjustment::new(format!("ignore_slots.{index}"), why));
            continue;
        };
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        matchers.push(SlotMatcher {
            name: text("name"),
            kind: text("type"),
            database: text("database"),
            plugin: text("plugin"),
        });
    }
    matchers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slots_are_read_as_patroni_reads_them() {
        let given = json!({
            "a": null, "b": {"type": "physical"}, "c": {"database": "app", "plugin": "pgoutput"},
            "Upper": {}, "d": {"type": "logical"}, "e": {"type": "other"}, "f": 7,
        });
        let mut adjustments = Vec::new();
        let slots = permanent("slots", given.as_object().unwrap(), &mut adjustments);
        let names: Vec<_> = slots.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(slots[2].logical, Some(("app".to_owned(), "pgoutput".to_owned())));
        let keys: Vec<_> = adjustments.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["slots.Upper", "slots.d", "slots.e", "slots.f"]);
    }

    #[test]
    fn a_description_fits_where_all_of_it_does() {
        let given = [json!({"name": "a"}), json!({"type": "logical", "plugin": "p"}), json!(1)];
        let mut adjustments = Vec::new();
        let matchers = ignored(&given, &mut adjustments);
        assert_eq!(adjustments.len(), 1);
        assert!(matchers[0].fits("a", None) && !matchers[0].fits("b", None));
        assert!(matchers[1].fits("b", Some(("db", "p"))) && !matchers[1].fits("b", None));
        assert!(SlotMatcher::default().fits("x", None), "no key, every slot");
    }
}
