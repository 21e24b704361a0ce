//! Reads the settings that the node's file and the cluster's document may both hold. Both are read
//! alike; a value of the wrong shape counts as not said, and that is said.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::dynamic::{Adjustment, kind_of};
use super::postgresql::{Callbacks, Program, SharedSettings};
use super::scalar_rules::{guc_text, parse_bool, parse_command, parse_seconds};

impl SharedSettings {
    /// Reads a `postgresql` section. The second value says what in it does not count.
    pub fn read(section: &Map<String, Value>) -> (Self, Vec<Adjustment>) {
        let mut reader = Reader { section, path: "postgresql".to_owned(), refused: Vec::new() };
        let settings = Self {
            bin_dir: reader.text("bin_dir").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            bin_name: reader.bin_name(),
            database: reader.text("database"),
            parameters: reader.parameters("parameters").unwrap_or_default(),
            pg_hba: reader.lines("pg_hba"),
            pg_ident: reader.lines("pg_ident"),
            recovery_conf: reader.parameters("recovery_conf"),
            callbacks: reader.callbacks(),
            pg_ctl_timeout: reader.get("pg_ctl_timeout", "seconds", parse_seconds),
            use_pg_rewind: reader.switch("use_pg_rewind"),
            use_slots: reader.switch("use_slots"),
            remove_data_directory_on_rewind_failure: reader
                .switch("remove_data_directory_on_rewind_failure"),
            remove_data_directory_on_diverged_timelines: reader
                .switch("remove_data_directory_on_diverged_timelines"),
        };
        (settings, reader.refused)
    }
}

struct Reader<'a> {
    section: &'a Map<String, Value>,
    path: String,
    refused: Vec<Adjustment>,
}

impl<'a> Reader<'a> {
    fn get<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.section.get(key).filter(|value| !value.is_null())?;
        let found = read(value);
        if found.is_none() {
            self.refuse(key, expected, value);
        }
        found
    }

    fn refuse(&mut self, key: &str, expected: &str, value: &Value) {
        let found = match value {
            Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
            scalar => scalar.to_string(),
        };
        let message = format!("expected {expected}, found {found}: it does not count");
        self.refused.push(Adjustment::new(format!("{}.{key}", self.path), message));
    }

    fn within(&self, key: &str, section: &'a Map<String, Value>) -> Reader<'a> {
        Reader { section, path: format!("{}.{key}", self.path), refused: Vec::new() }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.get(key, "a text", guc_text)
    }

    fn switch(&mut self, key: &str) -> Option<bool> {
        self.get(key, "true or false", parse_bool)
    }

    fn lines(&mut self, key: &str) -> Option<Vec<String>> {
        self.get(key, "a list of lines", |value| {
            let lines = value.as_array()?;
            lines.iter().map(|line| line.as_str().map(str::to_owned)).collect()
        })
    }

    fn mapping(&mut self, key: &str) -> Option<Reader<'a>> {
        let section = self.section;
        match section.get(key)? {
            Value::Null => None,
            Value::Object(entries) => Some(self.within(key, entries)),
            other => {
                self.refuse(key, "a mapping", other);
                None
            }
        }
    }

    /// GUCs by lower-case name; null means not said.
    fn parameters(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        let mut inner = self.mapping(key)?;
        let mut parameters = BTreeMap::new();
        for name in inner.section.keys() {
            if let Some(value) = inner.get(name, "a text, number or boolean", guc_text) {
                parameters.insert(name.to_lowercase(), value);
            }
        }
        self.refused.append(&mut inner.refused);
        Some(parameters)
    }

    fn bin_name(&mut self) -> Option<BTreeMap<Program, String>> {
        let mut inner = self.mapping("bin_name")?;
        let names = Program::ALL
            .into_iter()
            .filter_map(|program| Some((program, inner.text(program.name())?)))
            .collect();
        self.refused.append(&mut inner.refused);
        Some(names)
    }

    fn callbacks(&mut self) -> Option<Callbacks> {
        let mut inner = self.mapping("callbacks")?;
        let mut command = |event| inner.get(event, "a command", parse_command);
        let callbacks = Callbacks {
            on_start: command("on_start"),
            on_stop: command("on_stop"),
            on_restart: command("on_restart"),
            on_reload: command("on_reload"),
            on_role_change: command("on_role_change"),
        };
        self.refused.append(&mut inner.refused);
        Some(callbacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn what_has_the_wrong_shape_is_said_and_does_not_count() {
        let section = json!({
            "use_pg_rewind": "maybe",
            "pg_ctl_timeout": 30,
            "pg_hba": ["local all all trust", 7],
            "parameters": {"Work_Mem": "16MB", "fsync": false, "a": []},
            "callbacks": {"on_start": "/bin/say 'a b'"},
        });
        let (settings, refused) = SharedSettings::read(section.as_object().unwrap());
        assert_eq!(settings.use_pg_rewind, None);
        assert_eq!(settings.pg_ctl_timeout, Some(Duration::from_secs(30)));
        assert_eq!(settings.parameters["work_mem"], "16MB");
        assert_eq!(settings.parameters["fsync"], "off");
        let on_start = settings.callbacks.unwrap().on_start.unwrap();
        assert_eq!(on_start, ["/bin/say", "a b"]);
        let keys: Vec<_> = refused.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(
            keys,
            ["postgresql.parameters.a", "postgresql.pg_hba", "postgresql.use_pg_rewind"]
        );
    }
}
