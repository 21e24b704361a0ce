//! pgbaton keeps a PostgreSQL cluster writable: one agent beside each server, a leader lease in etcd.
//!
//! `docs/ARCHITECTURE.md` is the map of this code.

pub mod act;
pub mod agent;
pub mod api;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod dcs;
pub mod decide;
pub mod demo;
pub mod drill;
pub mod fence;
pub mod health;
pub mod mutants;
pub mod observe;
pub mod postgres;
pub mod publish;
pub mod traffic;
pub mod values;
pub mod wake;
