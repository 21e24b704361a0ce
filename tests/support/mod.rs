//! What several test files need.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod etcd;
pub mod memory_store;
pub mod rest;
pub mod store;
