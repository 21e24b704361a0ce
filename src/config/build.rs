//! From the checked tree to [`NodeConfig`]. Says nothing: what is wrong was said by `check` and
//! `rules`; a `None` here means that one of them did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::listen::Listen;
use super::node::{
    Bootstrap, Credentials, CtlConfig, DivergedData, LogConfig, LogLevel, NodeConfig, OwnConfig,
    RestApi, STATISTICS_INTERVAL_DEFAULT, Source,
};
use super::postgresql::{Account, Authentication, PostgresqlConfig, SharedSettings};
use super::scalar_rules::{Unit, guc_text, parse_command, parse_int};
use super::tags::Tags;
use super::value_kinds::initdb_arguments;
use super::yaml::Node;
use super::{HostPort, etcd, watchdog};
use crate::values::MemberName;

/// Namespace where none is given.
pub(super) const NAMESPACE_DEFAULT: &str = "service";

/// Builds the node's configuration; `home` is where the password file goes when nothing is said.
pub(super) fn node(root: &Node, home: Option<&str>, source: Source) -> Option<NodeConfig> {
    let scope = text(root, "scope")?;
    let name = text(root, "name").or_else(|| text(root, "postgresql.name"))?;
    Some(NodeConfig {
        scope,
        namespace: text(root, "namespace").unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned()),
        name: MemberName::from(name),
        restapi: restapi(root)?,
        etcd: etcd::read(root)?,
        bootstrap: root.at("bootstrap").map(bootstrap),
        postgresql: postgresql(root, home)?,
        tags: Tags::from_map(&root.at("tags").map(Node::to_map).unwrap_or_default()).0,
        log: log(root),
        ctl: ctl(root),
        watchdog: watchdog::read(root),
        pgbaton: own(root),
        source,
    })
}

fn own(root: &Node) -> OwnConfig {
    let diverged_data = text(root, "pgbaton.diverged_data").and_then(|one| DivergedData::of(&one));
    let keep_aside = root.at("pgbaton.keep_aside").map(Node::to_json);
    let keep_aside = keep_aside.and_then(|one| parse_int(&one, Unit::None));
    let statistics_interval = root.at("pgbaton.statistics_interval").map(Node::to_json);
    let statistics_interval = statistics_interval.and_then(|one| parse_int(&one, Unit::Seconds));
    let statistics_interval = statistics_interval.and_then(|one| one.try_into().ok());
    OwnConfig {
        state_dir: path(root, "pgbaton.state_dir"),
        fence: text(root, "pgbaton.fence")
            .and_then(|word| word.to_lowercase().parse().ok())
            .unwrap_or_default(),
        diverged_data: diverged_data.unwrap_or_default(),
        keep_aside: keep_aside.and_then(|one| one.try_into().ok()),
        statistics_interval: statistics_interval
            .map_or(STATISTICS_INTERVAL_DEFAULT, Duration::from_secs),
    }
}

fn text(root: &Node, key: &str) -> Option<String> {
    root.at(key)?.text().map(str::to_owned)
}

/// Absolute, so that no later change of the working directory changes what is meant.
fn path(root: &Node, key: &str) -> Option<PathBuf> {
    let given = text(root, key)?;
    Some(std::path::absolute(&given).unwrap_or_else(|_| PathBuf::from(given)))
}

fn address(root: &Node, key: &str) -> Option<HostPort> {
    let mut address: HostPort = root.at(key)?.text()?.parse().ok()?;
    if address.host.is_empty() {
        address.host = "*".to_owned();
    }
    Some(address)
}

fn credentials(root: &Node, section: &str) -> Option<Credentials> {
    Some(Credentials {
        username: text(root, &format!("{section}.username"))?,
        password: text(root, &format!("{section}.password"))?,
    })
}

fn restapi(root: &Node) -> Option<RestApi> {
    let listen = address(root, "restapi.listen")?;
    let header = |(name, value)| Some((name, guc_text(&value)?));
    let headers = root.at("restapi.http_extra_headers").map(Node::to_map).unwrap_or_default();
    Some(RestApi {
        connect_address: address(root, "restapi.connect_address").unwrap_or_else(|| listen.clone()),
        listen,
        authentication: credentials(root, "restapi.authentication"),
        http_extra_headers: headers.into_iter().filter_map(header).collect(),
    })
}

/// How the command line tool calls members.
pub(super) fn ctl(root: &Node) -> CtlConfig {
    CtlConfig {
        authentication: credentials(root, "ctl.authentication")
            .or_else(|| credentials(root, "restapi.authentication")),
    }
}

fn bootstrap(section: &Node) -> Bootstrap {
    let command = section.at("post_bootstrap").or_else(|| section.at("post_init"));
    Bootstrap {
        dcs: section.at("dcs").map(Node::to_map).unwrap_or_default(),
        initdb: section.at("initdb").map(initdb_arguments).unwrap_or_default(),
        pg_hba: section.at("pg_hba").map(lines).unwrap_or_default(),
        post_bootstrap: command.and_then(|command| parse_command(&command.to_json())),
    }
}

fn lines(list: &Node) -> Vec<String> {
    match &list.content {
        super::yaml::Content::List(items) => {
            items.iter().filter_map(|item| item.text().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn postgresql(root: &Node, home: Option<&str>) -> Option<PostgresqlConfig> {
    let listen = Listen::parse(root.at("postgresql.listen")?.text()?)?;
    let data_dir = path(root, "postgresql.data_dir")?;
    let connect_address =
        address(root, "postgresql.connect_address").or_else(|| listen.first_to_publish());
    let connect_address = connect_address
        .unwrap_or_else(|| HostPort { host: listen.hosts[0].clone(), port: listen.port });
    let pgpass = path(root, "postgresql.pgpass").unwrap_or_else(|| {
        home.map_or_else(
            || data_dir.with_extension("pgpass"),
            |home| Path::new(home).join("pgpass"),
        )
    });
    let (local, _) = SharedSettings::read(&root.at("postgresql")?.to_map());
    Some(PostgresqlConfig {
        listen_addresses: listen.addresses(),
        port: listen.port,
        connect_address,
        config_dir: path(root, "postgresql.config_dir").unwrap_or_else(|| data_dir.clone()),
        data_dir,
        pgpass,
        authentication: authentication(root)?,
        local: with_legacy_rewind(root, local),
    })
}

/// In the older layout a `pg_rewind` section means that it may be used.
fn with_legacy_rewind(root: &Node, mut local: SharedSettings) -> SharedSettings {
    if root.at("postgresql.authentication").is_none() && root.at("postgresql.pg_rewind").is_some() {
        local.use_pg_rewind = Some(true);
    }
    local
}

fn authentication(root: &Node) -> Option<Authentication> {
    let user = |newer: &str, older: &str| {
        let newer = root.at(&format!("postgresql.authentication.{newer}"));
        newer.or_else(|| root.at(&format!("postgresql.{older}"))).and_then(account)
    };
    Some(Authentication {
        superuser: user("superuser", "superuser")?,
        replication: user("replication", "replication")?,
        rewind: user("rewind", "pg_rewind"),
    })
}

fn account(section: &Node) -> Option<Account> {
    let option = |key| text(section, key);
    Some(Account {
        username: option("username")?,
        password: option("password"),
        sslmode: option("sslmode"),
        sslcert: option("sslcert"),
        sslkey: option("sslkey"),
        sslpassword: option("sslpassword"),
        sslrootcert: option("sslrootcert"),
        sslcrl: option("sslcrl"),
        sslcrldir: option("sslcrldir"),
        gssencmode: option("gssencmode"),
        channel_binding: option("channel_binding"),
        sslnegotiation: option("sslnegotiation"),
    })
}

fn log(root: &Node) -> LogConfig {
    let default = LogConfig::default();
    let number = |key| parse_int(&root.at(key)?.to_json(), Unit::None);
    let level = |name: &str| LogLevel::from_name(name);
    let loggers = root.at("log.loggers").map(Node::to_map).unwrap_or_default();
    LogConfig {
        json: text(root, "log.type").is_some_and(|kind| kind.eq_ignore_ascii_case("json")),
        level: text(root, "log.level").and_then(|name| level(&name)).unwrap_or(default.level),
        static_fields: root.at("log.static_fields").map(Node::to_map).unwrap_or_default(),
        dir: path(root, "log.dir"),
        file_num: number("log.file_num")
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(default.file_num),
        file_size_bytes: number("log.file_size")
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(default.file_size_bytes),
        mode: number("log.mode").and_then(|mode| u32::try_from(mode).ok()),
        loggers: loggers
            .into_iter()
            .filter_map(|(name, value)| Some((name, level(value.as_str()?)?)))
            .collect::<BTreeMap<_, _>>(),
        max_queue_size: number("log.max_queue_size")
            .and_then(|lines| usize::try_from(lines).ok())
            .map_or(default.max_queue_size, |lines| lines.max(1)),
    }
}
