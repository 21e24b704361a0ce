//! What several test files need.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod cgroup;
pub mod cluster;
pub mod disk_watch;
pub mod etcd;
pub mod http;
pub mod ledger;
pub mod machine;
pub mod memory_store;
pub mod network;
pub mod node;
pub mod postgres;
pub mod processes;
pub mod report;
pub mod rest;
pub mod slow_line;
pub mod sql;
pub mod store;
pub mod volume;
pub mod wait;
pub mod wall_clock;
pub mod watchdog_device;
