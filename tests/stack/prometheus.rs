//! Questions to the stack's Prometheus.

use std::time::Duration;

use serde_json::Value;

use super::stack::Stack;
use super::support::http::Request;

/// How often Prometheus scrapes and evaluates, and then some.
const EVALUATED: Duration = Duration::from_secs(6);

/// What is answered to a path of its API; `data` of it.
#[track_caller]
fn get(stack: &Stack, path: &str, parameters: &[(&str, &str)]) -> Value {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let path = format!("/api/v1/{path}?{}", query.join("&"));
    let answer = Request::get(&path).send(stack.prometheus()).expect("Prometheus answers");
    let body = answer.json();
    assert_eq!(body["status"], "success", "{parameters:?}: {body}");
    body["data"].clone()
}

/// The series of an instant query.
#[track_caller]
pub fn now(stack: &Stack, query: &str) -> Vec<Value> {
    let data = get(stack, "query", &[("query", query)]);
    data["result"].as_array().cloned().unwrap_or_default()
}

/// The series of a query since the stack was healthy, with at least one number each. An alert of the time before,
/// in which nobody led yet, is resolved by the second evaluation after it.
#[track_caller]
pub fn over_time(stack: &Stack, query: &str) -> Vec<Value> {
    let seconds = stack.healthy_since.elapsed().saturating_sub(EVALUATED * 2).as_secs();
    let time = get(stack, "query", &[("query", "time()")]);
    let end = time["result"][0].as_f64().expect("a scalar: when, and how much");
    let start = (end - seconds as f64).to_string();
    let parameters =
        [("query", query), ("start", start.as_str()), ("end", &end.to_string()), ("step", "5")];
    let data = get(stack, "query_range", &parameters);
    let series = data["result"].as_array().cloned().unwrap_or_default();
    series.into_iter().filter(has_a_number).collect()
}

fn has_a_number(series: &Value) -> bool {
    let values = series["values"].as_array().into_iter().flatten();
    values
        .filter_map(|pair| pair[1].as_str())
        .any(|text| text.parse::<f64>().is_ok_and(|number| !number.is_nan()))
}

/// The names of all metrics that it was told of, also of those without a sample.
#[track_caller]
pub fn names(stack: &Stack) -> Vec<String> {
    let told = get(stack, "metadata", &[]);
    let told = told.as_object().expect("names").keys().cloned();
    let own = ["up".to_owned()];
    told.chain(own).collect()
}

/// The alert rules that it has read: name and expression.
#[track_caller]
pub fn alerts(stack: &Stack) -> Vec<(String, String)> {
    let groups = get(stack, "rules", &[("type", "alert")]);
    let groups = groups["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    rules.map(|rule| (text(&rule["name"]), text(&rule["query"]))).collect()
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(
            |byte| {
                if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
