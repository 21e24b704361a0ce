//! Reads the files and the environment, and says everything that is wrong with them at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{self, Findings};
use super::finding::Finding;
use super::node::{CtlConfig, EtcdConfig, NodeConfig, Source};
use super::yaml::{self, Content, Node, Place};
use super::{build, env, etcd, rules};

/// What came of reading a configuration.
#[derive(Clone, Debug)]
pub struct Loaded<T = NodeConfig> {
    /// The configuration, unless one of the findings is an error.
    pub config: Option<T>,
    /// Everything worth saying, files and lines in order.
    pub findings: Vec<Finding>,
}

/// What the command line tool needs: a file for it may hold less than a node's.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolConfig {
    /// Name of the cluster, when the file has one.
    pub scope: Option<String>,
    /// First part of every key in the store.
    pub namespace: String,
    /// How to reach etcd.
    pub etcd: EtcdConfig,
    /// How to call the members.
    pub ctl: CtlConfig,
}

/// This process's environment as [`load`] takes it; a variable that is no text cannot be meant.
pub fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Loads a node's configuration from a file or a directory of files, with the `PATRONI_*` variables of
/// `env` on top.
pub fn load(path: Option<&Path>, env: &BTreeMap<String, String>) -> Loaded {
    let mut findings = Findings::default();
    let Some((root, source)) = read(path, env, &mut findings) else {
        return finish(None, findings);
    };
    check::check_keys(&root, &mut findings);
    rules::check(&root, &mut findings);
    let config = build::node(&root, env.get("HOME").map(String::as_str), source);
    if let Some(node) = &config {
        rules::check_together(&root, node, &mut findings);
    } else if !findings.has_errors() {
        findings.error(&root.place, "", "cannot be used, for a reason not understood");
    }
    finish(config, findings)
}

/// Loads what the command line tool needs, from the same places.
pub fn load_tool(path: Option<&Path>, env: &BTreeMap<String, String>) -> Loaded<ToolConfig> {
    let mut findings = Findings::default();
    let Some((root, _)) = read(path, env, &mut findings) else {
        return finish(None, findings);
    };
    check::check_keys(&root, &mut findings);
    // What is wrong with the server's part is the agent's business.
    findings.list.retain(|one| {
        let section = one.key.split('.').next().unwrap_or_default();
        one.is_error()
            && matches!(section, "" | "scope" | "namespace" | "etcd3" | "ctl" | "restapi")
            && one.key != "restapi.listen"
            && one.key != "restapi.connect_address"
    });
    rules::check_for_tool(&root, &mut findings);
    let text = |key: &str| root.at(key).and_then(Node::text).map(str::to_owned);
    let config = etcd::read(&root).map(|etcd| ToolConfig {
        scope: text("scope"),
        namespace: text("namespace").unwrap_or_else(|| build::NAMESPACE_DEFAULT.to_owned()),
        etcd,
        ctl: build::ctl(&root),
    });
    if config.is_none() && !findings.has_errors() {
        findings.error(&root.place, "etcd3", "cannot be used, for a reason not understood");
    }
    finish(config, findings)
}

/// The configuration as it is merged from files and environment, unchecked: for showing it.
pub fn merged(path: Option<&Path>, env: &BTreeMap<String, String>) -> Option<serde_json::Value> {
    let (root, _) = read(path, env, &mut Findings::default())?;
    Some(root.to_json())
}

fn finish<T>(config: Option<T>, findings: Findings) -> Loaded<T> {
    let config = config.filter(|_| !findings.has_errors());
    let mut findings = findings.list;
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Loaded { config, findings }
}

/// The merged tree, and where it came from; `None` when there is none.
fn read(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<(Node, Source)> {
    let path_that_exists = path.filter(|path| path.exists());
    if let (Some(path), None) = (path, path_that_exists) {
        let place = Place { file: path.display().to_string().into(), line: None };
        if env.keys().any(|name| name.starts_with("PATRONI_")) {
            findings.warning(&place, "", "does not exist: the environment alone counts");
        } else {
            findings.error(&place, "", "does not exist: expected a YAML file or a directory");
            return None;
        }
    }
    if path_that_exists.is_none()
        && let Some(text) = env.get("PATRONI_CONFIGURATION")
    {
        let root = mapping(text, "environment variable PATRONI_CONFIGURATION", findings)?;
        let source = Source { path: path.map(Path::to_path_buf), files: Vec::new() };
        return Some((root, source));
    }
    let files = match path_that_exists {
        Some(path) => files_of(path, findings)?,
        None => Vec::new(),
    };
    let mut root: Option<Node> = None;
    let mut is_complete = true;
    for file in &files {
        match read_file(file, findings) {
            None => is_complete = false,
            Some(upper) => match &mut root {
                None => root = Some(upper),
                Some(root) => root.merge(upper),
            },
        }
    }
    let variables = env::read(env, findings);
    if !is_complete {
        return None;
    }
    match &mut root {
        Some(root) => root.merge(variables),
        None => root = Some(variables),
    }
    Some((root?, Source { path: path.map(Path::to_path_buf), files }))
}

/// The file itself, or the YAML files of a directory by name.
fn files_of(path: &Path, findings: &mut Findings) -> Option<Vec<PathBuf>> {
    if !path.is_dir() {
        return Some(vec![path.to_path_buf()]);
    }
    let place = Place { file: path.display().to_string().into(), line: None };
    let listed = match std::fs::read_dir(path) {
        Ok(listed) => listed,
        Err(error) => {
            findings.error(&place, "", format!("cannot be listed: {error}"));
            return None;
        }
    };
    let is_yaml = |path: &PathBuf| {
        path.is_file() && path.extension().is_some_and(|end| end == "yml" || end == "yaml")
    };
    let mut files: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        findings.warning(&place, "", "holds no file whose name ends in .yml or .yaml");
    }
    Some(files)
}

fn read_file(path: &Path, findings: &mut Findings) -> Option<Node> {
    let name = path.display().to_string();
    let place = Place { file: name.as_str().into(), line: None };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.error(&place, "", format!("cannot be read: {error}"));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => mapping(&text, &name, findings),
        Err(error) => {
            let position = error.utf8_error().valid_up_to();
            let message = format!("expected UTF-8 text, found something else at byte {position}");
            findings.error(&place, "", message);
            None
        }
    }
}

/// The mapping that a text holds.
fn mapping(text: &str, file: &str, findings: &mut Findings) -> Option<Node> {
    let file: Arc<str> = Arc::from(file);
    let node = match yaml::parse(text, &file) {
        Ok(node) => node,
        Err(error) => {
            let place = Place { file, line: Some(error.line) };
            findings.error(&place, "", format!("is not valid YAML: {error}"));
            return None;
        }
    };
    if !matches!(node.content, Content::Mapping(_)) {
        let message = format!("expected a mapping of keys, found {}", node.describe());
        findings.error(&node.place, "", message);
        return None;
    }
    Some(node)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
