//! The shipped Prometheus files, tried by Prometheus' own tool: syntax, and when each alert fires.

use std::path::Path;
use std::process::Command;

fn promtool(arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/prometheus");
    let mut command = Command::new("promtool");
    let output = command.current_dir(folder).args(arguments).output();
    let output = output.expect("promtool is installed (Debian: prometheus)");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn the_scrape_configuration_and_its_rules_can_be_read() {
    let said = promtool(&["check", "config", "prometheus.yml"]);
    assert!(said.contains("13 rules found"), "{said}");
    promtool(&["check", "rules", "rules.yml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_is_resolved() {
    promtool(&["test", "rules", "rules_test.yml"]);
}

#[test]
fn no_alert_is_left_untried() {
    let read = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/prometheus");
        std::fs::read_to_string(folder.join(name)).expect("a file of the repository")
    };
    let (rules, tests) = (read("rules.yml"), read("rules_test.yml"));
    let names: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(names.len(), 13);
    for name in names {
        let tried = tests.lines().filter(|line| line.contains(&format!("alertname: {name}")));
        assert!(tried.count() >= 2, "{name} has to be seen silent as well as firing");
        let fires = tests.split("- eval_time:").any(|part| {
            part.contains(&format!("alertname: {name}")) && part.contains("exp_alerts")
        });
        assert!(fires, "{name} is never seen firing");
    }
}
