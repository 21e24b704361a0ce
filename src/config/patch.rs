//! Changes to the dynamic document: a patch as `PATCH /config` takes it, and a single value as
//! `edit-config --set` does.

use serde_json::{Map, Value};

use super::yaml;

/// Merges `patch` into `target` as Patroni does: mappings merge, null deletes, everything else
/// replaces unless it reads the same. Returns whether anything changed.
pub fn merge_patch(target: &mut Value, patch: &Value) -> bool {
    let Value::Object(changes) = patch else {
        return replace(target, patch);
    };
    let Value::Object(entries) = target else {
        *target = Value::Object(Map::new());
        merge_patch(target, patch);
        return true;
    };
    let mut changed = false;
    for (key, value) in changes {
        changed |= match (entries.get_mut(key), value) {
            (_, Value::Null) => entries.shift_remove(key).is_some(),
            (Some(old), value) => merge_patch(old, value),
            (None, value) => {
                let mut new = Value::Null;
                merge_patch(&mut new, value);
                entries.insert(key.clone(), new);
                true
            }
        };
    }
    changed
}

fn replace(target: &mut Value, value: &Value) -> bool {
    let reads_the_same = match (text_of(target), text_of(value)) {
        (Some(old), Some(new)) => old == new,
        _ => target == value,
    };
    if !reads_the_same {
        target.clone_from(value);
    }
    !reads_the_same
}

/// A scalar as Python writes it, which is how Patroni compares.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Why a value cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetPathError {
    /// The path has no name, or an empty one.
    #[error("{0:?} is not a path such as postgresql.parameters.work_mem")]
    Path(String),
    /// Something on the way is no mapping.
    #[error("{0} is not a mapping, so nothing can be set below it")]
    NotAMapping(String),
}

/// Sets the value under a dotted path; null removes it, and the parents that are empty then. Below
/// `postgresql.parameters` the rest of the path is one name, dots included.
///
/// # Errors
/// When the path has an empty part, or leads through something that is no mapping.
pub fn set_path(document: &mut Value, path: &str, value: Value) -> Result<(), SetPathError> {
    let parts = parts_of(path);
    if parts.iter().any(|part| part.is_empty()) {
        return Err(SetPathError::Path(path.to_owned()));
    }
    set_parts(document, "the document", &parts, value)
}

fn parts_of(path: &str) -> Vec<&str> {
    match path.strip_prefix("postgresql.parameters.") {
        Some(name) => vec!["postgresql", "parameters", name],
        None => path.split('.').collect(),
    }
}

fn set_parts(
    node: &mut Value,
    name: &str,
    parts: &[&str],
    value: Value,
) -> Result<(), SetPathError> {
    let Some((first, rest)) = parts.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.is_null() {
        *node = Value::Object(Map::new());
    }
    let Value::Object(entries) = node else {
        return Err(SetPathError::NotAMapping(name.to_owned()));
    };
    if value.is_null() && !entries.contains_key(*first) {
        return Ok(());
    }
    let is_removal = value.is_null();
    let below = entries.entry(*first).or_insert(Value::Null);
    set_parts(below, first, rest, value)?;
    let is_empty = below.is_null() || below.as_object().is_some_and(Map::is_empty);
    if is_removal && is_empty {
        entries.shift_remove(*first);
    }
    Ok(())
}

/// Reads a YAML text as people write configuration (YAML 1.1): `on` is true, `0644` is octal.
///
/// # Errors
/// A message with the line, when the text is not one YAML document.
pub fn parse_yaml(text: &str) -> Result<Value, String> {
    yaml::parse(text, &"text".into())
        .map(|node| node.to_json())
        .map_err(|error| format!("line {}: {error}", error.line))
}

#[cfg(test)]
mod tests {
    use super::super::dynamic::tests::any_json;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn check(target: Value, patch: Value, expected: Value, changed: bool) {
        let mut patched = target.clone();
        assert_eq!(merge_patch(&mut patched, &patch), changed, "{target} with {patch}");
        assert_eq!(patched, expected, "{target} with {patch}");
    }

    #[test]
    fn mappings_merge_and_null_deletes() {
        let target = json!({"ttl": 30, "a": {"b": 1, "c": 2}});
        let deeper = json!({"a": {"b": 5, "d": {"e": 1}}});
        let expected = json!({"ttl": 30, "a": {"b": 5, "c": 2, "d": {"e": 1}}});
        check(target.clone(), deeper, expected, true);
        check(target.clone(), json!({"a": null}), json!({"ttl": 30}), true);
        check(target.clone(), json!({"x": null}), target.clone(), false);
        check(target, json!({"a": 1}), json!({"ttl": 30, "a": 1}), true);
    }

    #[test]
    fn what_reads_the_same_is_no_change() {
        check(json!({"ttl": 30}), json!({"ttl": "30"}), json!({"ttl": 30}), false);
        check(json!({"a": true}), json!({"a": true}), json!({"a": true}), false);
        check(json!({"a": [1]}), json!({"a": [1, 2]}), json!({"a": [1, 2]}), true);
    }

    #[test]
    fn a_null_in_something_new_is_not_kept() {
        check(json!({}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}}), true);
    }

    #[test]
    fn a_path_sets_and_removes() {
        let mut document = json!({"ttl": 30});
        let guc = "postgresql.parameters.pg_stat_statements.max";
        set_path(&mut document, guc, json!(100)).unwrap();
        let name = "pg_stat_statements.max";
        assert_eq!(document["postgresql"]["parameters"][name], json!(100));
        set_path(&mut document, guc, Value::Null).unwrap();
        set_path(&mut document, "not.there", Value::Null).unwrap();
        assert_eq!(document, json!({"ttl": 30}));
        assert!(set_path(&mut document, "ttl.x", json!(1)).is_err());
        assert!(set_path(&mut document, "a..b", json!(1)).is_err());
        assert!(set_path(&mut document, "", json!(1)).is_err());
    }

    #[test]
    fn yaml_is_read_as_version_1_1() {
        assert_eq!(parse_yaml("{a: on, b: 0644}"), Ok(json!({"a": true, "b": 420})));
        assert!(parse_yaml("a: [").unwrap_err().starts_with("line "));
    }

    proptest! {
        #[test]
        fn a_patch_twice_is_a_patch_once(mut target in any_json(), patch in any_json()) {
            merge_patch(&mut target, &patch);
            let once = target.clone();
            prop_assert!(!merge_patch(&mut target, &patch) || target == once);
            prop_assert_eq!(target, once);
        }
    }
}
