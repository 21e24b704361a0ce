//! The core of it on the other releases of PostgreSQL.

use crate::faults::lose_the_host;
use crate::support::machine::Postgres;
use crate::switchover::switch_to_any;

#[test]
fn postgresql_16_switches_over() {
    switch_to_any(Postgres::V16);
}

#[test]
fn postgresql_16_survives_a_lost_host() {
    lose_the_host(Postgres::V16);
}

#[test]
fn postgresql_18_switches_over() {
    switch_to_any(Postgres::V18);
}

#[test]
fn postgresql_18_survives_a_lost_host() {
    lose_the_host(Postgres::V18);
}
