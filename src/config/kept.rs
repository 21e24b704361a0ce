//! What of a node file counts only from the agent's next start: when the files are read again, these stay
//! as they are, all of them, and are named.

use super::NodeConfig;

impl NodeConfig {
    /// Puts back what cannot change under a running agent, from the configuration in force; returns the
    /// keys whose new values wait for a restart of the agent.
    pub fn keep_what_needs_a_restart(&mut self, in_force: &NodeConfig) -> Vec<&'static str> {
        let mut waiting = Vec::new();
        let mut keep = Keep { waiting: &mut waiting };
        let (new, old) = (self, in_force);
        keep.of("scope", &mut new.scope, &old.scope);
        keep.of("namespace", &mut new.namespace, &old.namespace);
        keep.of("name", &mut new.name, &old.name);
        keep.of("restapi.listen", &mut new.restapi.listen, &old.restapi.listen);
        let address = "restapi.connect_address";
        keep.of(address, &mut new.restapi.connect_address, &old.restapi.connect_address);
        keep.of("etcd3", &mut new.etcd, &old.etcd);
        let (server, before) = (&mut new.postgresql, &old.postgresql);
        keep.of("postgresql.data_dir", &mut server.data_dir, &before.data_dir);
        keep.of("postgresql.config_dir", &mut server.config_dir, &before.config_dir);
        keep.of("postgresql.pgpass", &mut server.pgpass, &before.pgpass);
        let listen = (&mut server.listen_addresses, &before.listen_addresses);
        keep.of("postgresql.listen", listen.0, listen.1);
        keep.of("postgresql.listen", &mut server.port, &before.port);
        let address = "postgresql.connect_address";
        keep.of(address, &mut server.connect_address, &before.connect_address);
        let accounts = (&mut server.authentication, &before.authentication);
        keep.of("postgresql.authentication", accounts.0, accounts.1);
        keep.of("pgbaton.state_dir", &mut new.pgbaton.state_dir, &old.pgbaton.state_dir);
        keep.of("pgbaton.fence", &mut new.pgbaton.fence, &old.pgbaton.fence);
        waiting.dedup();
        waiting
    }
}

struct Keep<'a> {
    waiting: &'a mut Vec<&'static str>,
}

impl Keep<'_> {
    fn of<T: Clone + PartialEq>(&mut self, key: &'static str, new: &mut T, old: &T) {
        if new != old {
            new.clone_from(old);
            self.waiting.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config::{NodeConfig, load};

    fn node(changes: &[(&str, &str)]) -> NodeConfig {
        let mut text = "\
scope: shop
name: a
restapi: {listen: 127.0.0.1:8008}
etcd3: {host: 127.0.0.1:2379}
postgresql:
  listen: 127.0.0.1:5432
  data_dir: /data/a
  parameters: {work_mem: 4MB}
  authentication:
    superuser: {username: postgres}
    replication: {username: replicator}
"
        .to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("node.yml");
        std::fs::write(&file, text).expect("a file");
        load(Some(&file), &BTreeMap::new()).config.expect("a valid file")
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_named_and_the_rest_is_new() {
        let in_force = node(&[]);
        let mut read = node(&[
            ("name: a", "name: b"),
            ("127.0.0.1:5432", "127.0.0.1:5444"),
            ("2379", "2380"),
            ("4MB", "8MB"),
        ]);
        let waiting = read.keep_what_needs_a_restart(&in_force);
        let server = ["postgresql.listen", "postgresql.connect_address"];
        assert_eq!(waiting, [&["name", "etcd3"][..], &server].concat());
        let expected = node(&[("4MB", "8MB")]);
        assert_eq!(read.postgresql, expected.postgresql);
        assert_eq!((read.name, read.etcd), (in_force.name, in_force.etcd));
    }

    #[test]
    fn an_unchanged_file_waits_for_nothing() {
        assert!(node(&[]).keep_what_needs_a_restart(&node(&[])).is_empty());
    }
}
