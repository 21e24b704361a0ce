//! What is written beside the code: a reason for each dependency, and nothing of the machine it was written
//! on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::source::root;

/// The names under `[dependencies]` and `[dev-dependencies]`, also in the form of a table of their own.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies");
            if let Some((kind, name)) = section.rsplit_once("dependencies.") {
                assert!(
                    !kind.contains('.'),
                    "a kind of section this test does not know: {section}"
                );
                names.insert(name.to_owned());
            }
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            let name = name.trim();
            if !name.starts_with('#') && !line.starts_with(['}', ']']) {
                names.insert(name.trim_end_matches(".workspace").to_owned());
            }
        }
    }
    names
}

/// The names that `docs/dependencies.md` gives a reason for: "- `name`: why", also several of one line.
fn explained(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("- ")?.split_once(": "));
    let names = lines.flat_map(|(names, reason)| {
        assert!(reason.len() > 10, "no reason is given for {names}");
        names.split(", ").map(|name| name.trim_matches('`').to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there is a manifest");
    let used = dependencies(&manifest);
    assert!(used.contains("tokio") && used.contains("syn"), "the manifest was not understood");
    let text = fs::read_to_string(root().join("docs/dependencies.md"))
        .expect("docs/dependencies.md gives a reason for each dependency");
    let explained = explained(&text);
    let missing: Vec<_> = used.difference(&explained).collect();
    assert!(missing.is_empty(), "docs/dependencies.md has no line for {missing:?}");
    let left_over: Vec<_> = explained.difference(&used).collect();
    assert!(left_over.is_empty(), "docs/dependencies.md explains what is not used: {left_over:?}");
}

#[test]
fn every_package_comes_from_the_public_registry() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("there is a lock file");
    let sources: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert!(sources.len() > 20, "the lock file was not understood");
    for source in sources {
        assert_eq!(source, "\"registry+https://github.com/rust-lang/crates.io-index\"");
    }
}

/// Files that people read or machines run, as far as they are text.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the crate is readable").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if ["target", ".git", "corpus", "artifacts"].iter().any(|skipped| name == *skipped) {
            continue;
        }
        if path.is_dir() {
            texts(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn nothing_tells_of_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    texts(&root(), &mut found);
    assert!(found.len() > 40, "only {} files were found", found.len());
    // In pieces, so that this file does not find itself.
    let telling = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    for (path, text) in &found {
        for (number, line) in text.lines().enumerate() {
            let told = telling.iter().find(|part| line.contains(**part));
            assert!(told.is_none(), "{path}:{}: {line}", number + 1);
        }
    }
}
