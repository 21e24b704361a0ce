//! Every query of every dashboard panel, asked of a Prometheus that scraped the stack all the while. Macros
//! and variables are expanded as Grafana would; no Grafana is here to load the dashboards themselves.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::prometheus;
use super::stack::Stack;
use super::support::wait::wait_until;

/// Four scrapes, as Grafana takes it.
const RATE_INTERVAL: &str = "20s";
const BOUND: std::time::Duration = std::time::Duration::from_secs(30);

/// The dashboards of the repository, by file name.
fn dashboards() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana_dashboards");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the dashboards' folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a dashboard");
        found.push((name, serde_json::from_str(&text).expect("a dashboard is JSON")));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn expanded(text: &str) -> String {
    text.replace("$__rate_interval", RATE_INTERVAL)
        .replace("$scope", "stack")
        .replace("$name", ".*")
        .replace("$instance", ".*")
}

/// Panel and query, of all panels with queries.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let mut all = Vec::new();
    for panel in panels.filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("a panel has queries");
        assert!(!targets.is_empty(), "{title}: no query");
        for target in targets {
            let query = expanded(target["expr"].as_str().expect("a query"));
            assert!(!query.contains('$'), "{title}: {query}: something is not expanded");
            all.push((title.to_owned(), query));
        }
    }
    all
}

/// What Grafana asks to fill a variable's list, as a query.
fn variables(dashboard: &Value) -> Vec<(String, String)> {
    let list = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let list = list.filter(|variable| variable["type"] == "query");
    list.map(|variable| {
        let name = variable["name"].as_str().expect("a name").to_owned();
        let text = variable["query"]["query"].as_str().expect("a query");
        let inner = text.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect("two parts");
        (name, format!("count by ({label}) ({})", expanded(selector)))
    })
    .collect()
}

pub fn every_panel_has_data(stack: &Stack) {
    let nothing = prometheus::over_time(stack, "pgbaton_of_no_such_name");
    assert!(nothing.is_empty(), "what is not there has data: {nothing:?}");
    let mut asked = 0;
    let mut empty = Vec::new();
    for (file, dashboard) in dashboards() {
        let all: Vec<_> = variables(&dashboard).into_iter().chain(queries(&dashboard)).collect();
        for (title, query) in all {
            asked += 1;
            if prometheus::over_time(stack, &query).is_empty() {
                empty.push(format!("{file}: {title}: {query}"));
            }
        }
    }
    println!("{asked} queries of panels and variables asked");
    assert!(asked > 50, "only {asked} queries were found");
    assert!(empty.is_empty(), "without data:\n{}", empty.join("\n"));
    // And not only in the past.
    wait_until("one member writes", BOUND, || {
        let writable = prometheus::now(stack, "sum by (scope) (pgbaton_writable)");
        writable.len() == 1 && writable[0]["value"][1] == "1"
    });
}
