//! Rules of reading YAML text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Result<Value, YamlError> {
    parse(text, &"test.yml".into()).map(|node| node.to_json())
}

#[track_caller]
fn check(text: &str, expected: Value) {
    assert_eq!(read(text).unwrap(), expected, "{text}");
}

#[test]
fn only_plain_scalars_are_interpreted() {
    check(
        "a: on\nb: 'on'\nc: \"0644\"\nd: 0644\ne: !!str 5\nf: |\n  1\n",
        json!({
            "a": true, "b": "on", "c": "0644", "d": 420, "e": "5", "f": "1\n"
        }),
    );
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    check(
        "base: &b {x: 1, y: 2}\nz:\n  <<: *b\n  y: 3\nw: *b\n",
        json!({
            "base": {"x": 1, "y": 2}, "z": {"y": 3, "x": 1}, "w": {"x": 1, "y": 2}
        }),
    );
    check(
        "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  <<: [*a, *b]\n",
        json!({
            "a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"x": 1, "y": 2}
        }),
    );
}

#[test]
fn the_last_of_two_equal_keys_wins() {
    check("a: 1\nb: 2\na: 3\n", json!({"b": 2, "a": 3}));
}

#[test]
fn an_empty_text_is_null() {
    check("", json!(null));
    check("# nothing\n", json!(null));
    check("\u{feff}a: 1", json!({"a": 1}));
}

#[test]
fn a_key_knows_its_line() {
    let node = parse("a: 1\n\nb:\n  c: 2\n", &"test.yml".into()).unwrap();
    assert_eq!(node.place_of("b").line, Some(3));
    assert_eq!(node.place_of("b.c").line, Some(4));
    assert_eq!(node.place_of("b.missing").line, Some(3));
}

#[test]
fn what_is_no_single_document_is_refused_with_its_line() {
    for (text, line, part) in [
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: [1\n", 3, ""),
        ("a: b: c\n", 1, ""),
        ("a: *nothing\n", 1, ""),
        ("a: !custom 1\n", 1, "tag"),
        ("? [1]\n: 2\n", 1, "expected a key"),
        ("a: 1\nb:\n  <<: 5\n", 3, "expected a mapping"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn depth_and_size_have_an_end() {
    assert!(read(&"[".repeat(100)).unwrap_err().message.contains("deeper"));
    assert!(read(&"[".repeat(10_000)).is_err());
    assert!(read(&"- ".repeat(10_000)).is_err());
    let mut bomb = String::from("a0: &a0 [x]\n");
    for level in 1..40 {
        let below = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n"));
    }
    assert!(read(&bomb).unwrap_err().message.contains("more than"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn no_text_of_yamls_own_letters_is_a_panic(
        text in "[a-c0-9 \n\t:,&*!<>|'\"%@`#?{}\\[\\]~._+eox-]{0,60}"
    ) {
        let _ = read(&text);
    }
}
