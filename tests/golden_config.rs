//! Patroni's files in, findings out: each `tests/golden/config/*.yml` has what is said about it in a
//! `.txt` beside it. With `UPDATE_GOLDEN=1` the texts are written anew, for a look at the difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pgbaton::config::load;

fn samples() -> Vec<PathBuf> {
    let directory = Path::new("tests/golden/config");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .collect();
    files.sort();
    files
}

/// The findings one a line, then whether the file can be used.
fn said_about(file: &Path) -> String {
    let loaded = load(Some(file), &BTreeMap::new());
    let mut text = String::new();
    for finding in &loaded.findings {
        let line = finding.to_string();
        text.push_str(line.strip_prefix("tests/golden/config/").unwrap_or(&line));
        text.push('\n');
    }
    text.push_str(if loaded.config.is_some() { "usable\n" } else { "not usable\n" });
    text
}

#[test]
fn every_sample_has_the_findings_written_beside_it() {
    let samples = samples();
    assert!(samples.len() >= 9, "only {} samples", samples.len());
    for file in samples {
        let golden = file.with_extension("txt");
        let said = said_about(&file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(said, expected, "{}", file.display());
    }
}
