//! One validated value from YAML, environment and the cluster's dynamic configuration.
