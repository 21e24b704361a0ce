//! Being let in by a real etcd, or not: users and passwords, TLS with client certificates.

mod support;

use std::time::Duration;

use etcd_client::{Client, Permission, PermissionType};
use pgbaton::dcs::{Changes, EtcdOptions, EtcdStore, Store, StoreError};
use pgbaton::values::Revision;
use support::etcd::{Etcd, EtcdSettings};
use support::store::{PREFIX, TRY, bounded, changes, commit, options, put, raw_client};

/// Users `root` and `demo` (password `secret`), the latter for the prefix only. Not yet enabled.
async fn with_users(etcd: &Etcd) -> Client {
    let mut client = raw_client(etcd).await;
    client.user_add("root", "root", None).await.expect("a user");
    client.user_grant_role("root", "root").await.expect("a grant");
    client.user_add("demo", "secret", None).await.expect("a user");
    client.role_add("demo").await.expect("a role");
    let all = Permission::new(PermissionType::Readwrite, PREFIX).with_prefix();
    client.role_grant_permission("demo", all).await.expect("a permission");
    client.user_grant_role("demo", "demo").await.expect("a grant");
    client
}

fn with_password(etcd: &Etcd, password: &str) -> EtcdOptions {
    let credentials = Some(("demo".to_owned(), password.to_owned()));
    EtcdOptions { credentials, ..options(etcd.endpoints()) }
}

#[tokio::test]
async fn credentials_are_used_and_renewed_within_one_call() {
    let etcd = Etcd::start(1);
    let mut admin = with_users(&etcd).await;
    let store = EtcdStore::new(with_password(&etcd, "secret")).expect("usable options");
    // Not asked for yet: fine.
    assert!(commit(&store, put("leader", "pg-a")).await.succeeded);

    admin.auth_enable().await.expect("authentication");
    admin.update_user(Some(("root".to_owned(), "root".to_owned()))).await.expect("a token");
    assert!(commit(&store, put("leader", "pg-b")).await.succeeded);
    // All tokens are forgotten in between.
    admin.auth_disable().await.expect("no authentication");
    raw_client(&etcd).await.auth_enable().await.expect("authentication");
    let reply = commit(&store, put("leader", "pg-c")).await;
    assert!(reply.succeeded);

    let mut watch = store.watch(Revision(reply.revision.0 - 1), TRY).await.expect("a watch");
    assert_eq!(changes(&mut watch, 1).await[0].key, "leader");
    let lease = store.grant_lease(Duration::from_secs(60), TRY).await.expect("a lease");
    store.keep_lease(lease, TRY).await.expect("alive");
}

#[tokio::test]
async fn refused_credentials_are_told_from_silence() {
    let etcd = Etcd::start(1);
    with_users(&etcd).await.auth_enable().await.expect("authentication");
    let elsewhere =
        EtcdOptions { prefix: "/service/other/".to_owned(), ..with_password(&etcd, "secret") };
    for refused in [options(etcd.endpoints()), with_password(&etcd, "wrong"), elsewhere] {
        let store = EtcdStore::new(refused).expect("usable options");
        let read = store.read_all(TRY).await;
        assert!(matches!(read, Err(StoreError::Denied(_))), "{read:?}");
        let written = store.commit(put("leader", "pg-a"), TRY).await;
        assert!(matches!(written, Err(StoreError::Denied(_))), "{written:?}");
        let error = match store.watch(Revision(0), TRY).await {
            Ok(mut watch) => bounded(watch.next()).await.err(),
            Err(error) => Some(error),
        };
        assert!(matches!(error, Some(StoreError::Denied(_))), "{error:?}");
    }
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let etcd = Etcd::start_with(1, EtcdSettings { tls: true, ..EtcdSettings::default() });
    let files = etcd.tls.as_ref().expect("files");
    let trusting =
        || EtcdOptions { cacert: Some(files.authority.clone()), ..options(etcd.endpoints()) };
    let apart = EtcdOptions {
        cert: Some(files.client_cert.clone()),
        key: Some(files.client_key.clone()),
        ..trusting()
    };
    let in_one_file = EtcdOptions { cert: Some(files.client_both.clone()), ..trusting() };
    for good in [apart.clone(), in_one_file] {
        let store = EtcdStore::new(good).expect("usable options");
        let reply = commit(&store, put("leader", "pg-a")).await;
        let before = Revision(reply.revision.0 - 1);
        let mut watch = store.watch(before, TRY).await.expect("a watch");
        assert_eq!(changes(&mut watch, 1).await[0].revision, reply.revision);
    }
    let wrong_authority =
        EtcdOptions { cacert: Some(files.other_authority.clone()), ..apart.clone() };
    let plain = etcd.endpoint(0).replace("https", "http");
    let without_tls = EtcdOptions { endpoints: vec![plain], ..apart };
    for bad in [trusting(), wrong_authority, without_tls] {
        let store = EtcdStore::new(bad).expect("usable options");
        let read = store.read_all(TRY).await;
        assert!(matches!(read, Err(StoreError::Failed(_))), "{read:?}");
    }
}

#[tokio::test]
async fn a_member_reached_by_its_remembered_address_is_still_known_by_its_name() {
    let settings = EtcdSettings { tls: true, on_localhost: true, ..EtcdSettings::default() };
    let etcd = Etcd::start_with(1, settings);
    let files = etcd.tls.as_ref().expect("files");
    let options = EtcdOptions {
        cacert: Some(files.authority.clone()),
        cert: Some(files.client_both.clone()),
        ..options(etcd.endpoints())
    };
    let store = EtcdStore::new(options).expect("usable options");
    assert!(commit(&store, put("leader", "pg-a")).await.succeeded);
    store.remember_addresses().await;
    // The certificate names `localhost` only.
    assert!(commit(&store.separate(), put("leader", "pg-b")).await.succeeded);
}
