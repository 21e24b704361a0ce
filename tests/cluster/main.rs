//! Ring 4: real etcd, real PostgreSQL, real agents on this machine, and clients that write to every node all
//! the time. Each test asserts what was lost and for how long writes were refused.

#[path = "../fault_table/mod.rs"]
mod fault_table;
#[path = "../support/mod.rs"]
mod support;

mod archive;
mod bootstrap;
mod drill;
mod faults;
mod fence;
mod forgetful;
mod gray;
mod input;
mod ladder;
mod left_behind;
mod logical;
mod outage;
mod outside;
mod partition;
mod rejoin;
mod restart;
mod store;
mod stranger;
mod switchover;
mod synchronous;
mod table;
mod tags;
mod traffic;
mod versions;
mod watchdog;
