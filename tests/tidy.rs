//! Keeps the house's rules: which folder may know what, what `decide` may not do, how long a file and a
//! function may be, what a test may not do. Each rule is a function from one source file to findings,
//! tried on a planted violation first, so that it cannot pass by seeing nothing. What the compiler and
//! clippy see already is left to them.

#[path = "tidy/folders.rs"]
mod folders;
#[path = "tidy/paperwork.rs"]
mod paperwork;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/waiting.rs"]
mod waiting;

use source::{Finding, Source};

/// A rule about one source file.
type Rule = fn(&Source) -> Vec<Finding>;

/// Fails with every finding of one rule in all of the crate's files.
#[track_caller]
fn holds_everywhere(rule: Rule) {
    let sources = Source::all();
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    let findings: Vec<String> =
        sources.iter().flat_map(rule).map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Fails unless the rule sees something in `text`, as the file `path`.
#[track_caller]
fn sees(rule: Rule, path: &str, text: &str) {
    let findings = rule(&Source::parse(path, text));
    assert!(!findings.is_empty(), "the rule does not see the violation planted in {path}:\n{text}");
}

/// Fails if the rule sees something in `text`, as the file `path`.
#[track_caller]
fn lets_pass(rule: Rule, path: &str, text: &str) {
    let findings = rule(&Source::parse(path, text));
    assert!(findings.is_empty(), "{path} is fine, but: {}", findings[0]);
}
