//! The built `pgbaton ctl` over a real etcd: what it asks, what it writes, how it ends.

mod support;

use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use pgbaton::dcs::{EtcdStore, Store};
use support::etcd::Etcd;
use support::store::{TRY, bounded, commit, put, raw_client, store};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9/patroni";

/// An etcd with a cluster `demo` in it, and a configuration that names both.
struct Shop {
    etcd: Etcd,
    store: EtcdStore,
    dir: TempDir,
}

impl Shop {
    /// `pg-a` leads, `pg-b` streams, `pg-c` may not lead; `pg-a` has this REST address.
    async fn open(leader_url: &str) -> Self {
        let shop = Self::empty();
        let member = |name: &str, url: &str, tags: &str| {
            let fields = r#""state":"running","role":"replica","version":"4.1.5","timeline":1"#;
            let conn_url = format!("postgres://{name}:5432/postgres");
            let record =
                format!(r#"{{"conn_url":"{conn_url}","api_url":"{url}",{fields},"tags":{tags}}}"#);
            put(&format!("members/{name}"), &record)
        };
        for txn in [
            put("leader", "pg-a"),
            put("initialize", "7433333333333333333"),
            put("config", r#"{"ttl":30,"loop_wait":10,"retry_timeout":10}"#),
            member("pg-a", leader_url, "{}"),
            member("pg-b", NOBODY, "{}"),
            member("pg-c", NOBODY, r#"{"nofailover":true}"#),
        ] {
            commit(&shop.store, txn).await;
        }
        shop
    }

    fn empty() -> Self {
        let etcd = Etcd::start(1);
        let dir = tempfile::tempdir().expect("a directory");
        let host = etcd.endpoint(0).replace("http://", "");
        let config = format!(
            "scope: demo\nname: pg-a\netcd3: {{host: '{host}'}}\n\
             ctl: {{authentication: {{username: admin, password: sesame}}}}\n"
        );
        std::fs::write(dir.path().join("node.yml"), config).expect("a file");
        let store = store(etcd.endpoints());
        Self { etcd, store, dir }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        command.args(["ctl", "-c"]).arg(self.dir.path().join("node.yml"));
        command.args(arguments.split_whitespace());
        // What is set where the tests run must not count.
        command.env_clear().env("TZ", "UTC").env("PATH", std::env::var_os("PATH").expect("PATH"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// Runs a command to its end, with these lines to answer its questions.
    async fn run(&self, arguments: &str, answers: &str) -> Ended {
        finish(self.command(arguments).spawn().expect("the binary"), answers).await
    }

    async fn value(&self, key: &str) -> Option<String> {
        let snapshot = self.store.read_all(TRY).await.expect("an answer");
        let raw = snapshot.keys.get(key)?;
        Some(String::from_utf8(raw.value.to_vec()).expect("a text"))
    }
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn finish(mut child: Child, answers: &str) -> Ended {
    let mut input = child.stdin.take().expect("a pipe");
    // A command that asks nothing may be gone already.
    let _ = input.write_all(answers.as_bytes()).await;
    drop(input);
    let Output { status, stdout, stderr } =
        bounded(child.wait_with_output()).await.expect("an end");
    let text = |bytes| String::from_utf8(bytes).expect("a text");
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

impl Ended {
    #[track_caller]
    fn says(&self, code: i32, parts: &[&str]) {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "exit code\n{all}");
        for part in parts {
            assert!(all.contains(part), "no {part:?} in:\n{all}");
        }
    }
}

/// An agent that gives one answer to everything, and remembers what it was asked.
struct Agent {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    async fn answering(status: &'static str, text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/patroni", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let remembered = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = answer(stream, status, text).await;
                remembered.lock().expect("no panic").push(request);
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// Reads one request and answers it.
async fn answer(mut stream: TcpStream, status: &str, text: &str) -> String {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let bytes = stream.read(&mut buffer).await.unwrap_or(0);
        request.push_str(&String::from_utf8_lossy(&buffer[..bytes]));
        let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |text| text.parse().expect("a length"));
        let is_whole = request.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length);
        if bytes == 0 || is_whole {
            break;
        }
    }
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    stream.write_all(reply.as_bytes()).await.expect("whoever asks listens");
    request
}

#[tokio::test]
async fn members_are_read_from_the_store() {
    let shop = Shop::open(NOBODY).await;
    let title = "+ Cluster: demo (7433333333333333333) ";
    shop.run("list", "").await.says(0, &[title, "| pg-a   | pg-a | Leader  |", "nofailover: true"]);
    shop.run("topology", "").await.says(0, &[title, "| + pg-b |"]);
    shop.run("list other", "").await.says(0, &["+ Cluster: other (uninitialized) "]);
    shop.run("list demo other -f json", "").await.says(0, &["\"Member\": \"pg-a\"", "\n[]\n"]);
    shop.run("dsn", "").await.says(0, &["host=pg-a port=5432\n"]);
    shop.run("dsn -r replica", "").await.says(0, &["host=pg-b port=5432\n"]);
    shop.run("dsn -m nobody", "").await.says(1, &["no member nobody"]);
    shop.run("show-config", "").await.says(0, &["loop_wait: 10\nretry_timeout: 10\nttl: 30\n\n"]);
    shop.run("history", "").await.says(0, &["| TL | LSN | Reason |"]);
    shop.run("version", "").await.says(0, &["pgbaton ctl version "]);
    shop.run("version demo pg-b", "").await.says(0, &["pg-b: failed to get version: "]);
    shop.run("reload demo pg-b --force", "").await.says(1, &["Failed: reload for member pg-b"]);
}

#[tokio::test]
async fn a_switchover_asks_and_goes_to_the_leader() {
    let agent = Agent::answering("200 OK", "Successfully switched over to \"pg-b\"").await;
    let shop = Shop::open(&agent.url).await;
    let ended = shop.run("switchover", "\npg-b\nnow\ny\n").await;
    let prompts = ["Primary [pg-a]: ", "Candidate ['pg-b'] []: ", " [now]: ", " [y/N]: "];
    ended.says(0, &prompts);
    let (_, result) = ended.out.split_once(" [y/N]: ").expect("a question");
    let result = result.lines().next().expect("a result");
    let (time, text) = result.split_at("2031-01-01 00:00:00.00000".len());
    assert_eq!(text, " Successfully switched over to \"pg-b\"");
    assert_eq!(time.rsplit_once('.').map(|(_, digits)| digits.len()), Some(5), "{time}");
    assert_eq!(ended.out.matches("+ Cluster: demo").count(), 2, "the table before and after");

    let requests = agent.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("POST /switchover HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].ends_with(r#"{"leader":"pg-a","candidate":"pg-b"}"#), "{requests:?}");
    let credentials = "authorization: Basic YWRtaW46c2VzYW1l\r\n";
    assert!(requests[0].contains(credentials), "{requests:?}");
    assert_eq!(shop.value("failover").await, None);

    shop.run("failover --candidate pg-b --force", "").await.says(0, &["Successfully"]);
    let request = agent.requests().pop().expect("a request");
    assert!(request.starts_with("POST /failover "), "{request}");
    assert!(request.ends_with(r#"{"candidate":"pg-b"}"#), "{request}");
}

#[tokio::test]
async fn what_is_refused_before_anybody_was_asked() {
    let agent = Agent::answering("200 OK", "done").await;
    let shop = Shop::open(&agent.url).await;
    for (arguments, answers, text) in [
        ("switchover", "\n\n\nn\n", "not confirmed"),
        ("switchover", "\n\n\n\n", "not confirmed"),
        ("switchover", "\n\n", "Aborted!"),
        ("switchover", "pg-b\n", "pg-b does not lead: the leader is pg-a"),
        ("switchover --leader pg-b --force", "", "pg-b does not lead"),
        ("switchover --candidate pg-a --force", "", "pg-a is the leader already"),
        ("switchover --candidate pg-c --force", "", "pg-c has the tag nofailover"),
        ("switchover --candidate pg-x --force", "", "there is no member pg-x"),
        ("switchover --scheduled 2031-01-01T00:00 --force", "", "not available yet"),
        ("failover --force", "", "a failover needs a candidate: expected one of ['pg-b']"),
        ("failover", "\n", "a failover needs a candidate"),
        ("failover", "pg-b\nn\n", "not confirmed"),
        ("switchover other --force", "", "the cluster has no leader"),
        ("failover other --force", "", "nobody could take over"),
        ("reinit demo", "", "reinit is not available yet in pgbaton"),
        ("restart demo --scheduled 2031-01-01T00:00Z", "", "cannot be scheduled yet"),
    ] {
        shop.run(arguments, answers).await.says(1, &[text]);
    }
    assert_eq!(agent.requests(), Vec::<String>::new());
    shop.run("nonsense", "").await.says(2, &["unrecognized subcommand 'nonsense'"]);
}

#[tokio::test]
async fn a_refusal_is_an_exit_code() {
    let agent = Agent::answering("412 Precondition Failed", "pg-b is too far behind").await;
    let shop = Shop::open(&agent.url).await;
    let text = "Switchover failed, details: 412, pg-b is too far behind";
    shop.run("switchover --force", "").await.says(1, &[text]);
    shop.run("reload demo pg-a --force", "").await.says(1, &["status code=412"]);
}

#[tokio::test]
async fn without_an_agent_the_request_goes_through_the_store() {
    let shop = Shop::open(NOBODY).await;
    // What an agent would do once it sees the request.
    let act = async |key: &'static str, value: &'static str| {
        let is_asked = async || shop.value("failover").await.is_some_and(|text| text != "{}");
        bounded(async { while !is_asked().await {} }).await;
        let request = shop.value("failover").await;
        commit(&shop.store, put(key, value)).await;
        request
    };
    let arguments = "switchover --candidate pg-b --force";
    let (ended, request) = tokio::join!(shop.run(arguments, ""), act("leader", "pg-b"));
    ended.says(0, &["Falling back to the store", "Successfully switched over to \"pg-b\""]);
    assert_eq!(request.as_deref(), Some(r#"{"leader":"pg-a","member":"pg-b"}"#));

    commit(&shop.store, put("failover", "{}")).await;
    let arguments = "failover --candidate pg-a --force";
    let (ended, request) = tokio::join!(shop.run(arguments, ""), act("failover", "{}"));
    ended.says(1, &["Failover failed"]);
    assert_eq!(request.as_deref(), Some(r#"{"member":"pg-a"}"#));
}

#[tokio::test]
async fn the_configuration_is_changed_as_it_was_shown() {
    let shop = Shop::open(NOBODY).await;
    let config = async || shop.value("config").await.expect("a configuration");
    let before = config().await;
    shop.run("edit-config -s ttl=30", "").await.says(0, &["not changed"]);
    shop.run("edit-config -s ttl=5 -q", "n\n").await.says(0, &[" [y/N]: "]);
    shop.run("edit-config -s ttl=5", "").await.says(1, &["Aborted!"]);
    shop.run("edit-config --apply -", "ttl: 5\n").await.says(0, &["-ttl: 30\n+ttl: 5", "--force"]);
    shop.run("edit-config -s ttl=soon --force", "").await.says(1, &["whole number of seconds"]);
    shop.run("edit-config -s =5", "").await.says(1, &["--set =5"]);
    shop.run("edit-config --replace /nowhere", "").await.says(1, &["/nowhere cannot be read"]);
    shop.run("edit-config other -s a=1", "").await.says(1, &["no dynamic configuration yet"]);
    assert_eq!(config().await, before);

    let diff = "--- \n+++ \n@@ -1,3 +1,5 @@\n loop_wait: 10\n+postgresql:\n+  parameters:\n";
    let changed = "Configuration changed\n";
    shop.run("edit-config -s ttl=null -p work_mem=16MB", "y\n").await.says(0, &[diff, changed]);
    let expected =
        r#"{"loop_wait":10,"retry_timeout":10,"postgresql":{"parameters":{"work_mem":"16MB"}}}"#;
    assert_eq!(config().await, expected);
    shop.run("edit-config --replace - --force -q", "ttl: 9\n").await.says(0, &[changed]);
    assert_eq!(config().await, r#"{"ttl":9}"#);
}

#[tokio::test]
async fn a_change_in_between_is_not_overwritten() {
    let shop = Shop::open(NOBODY).await;
    let mut child = shop.command("edit-config -s ttl=5").spawn().expect("the binary");
    let mut out = child.stdout.take().expect("a pipe");
    let mut shown = String::new();
    while !shown.contains(" [y/N]: ") {
        let mut buffer = [0; 1024];
        let bytes = bounded(out.read(&mut buffer)).await.expect("more");
        assert_ne!(bytes, 0, "no question in:\n{shown}");
        shown.push_str(&String::from_utf8_lossy(&buffer[..bytes]));
    }
    commit(&shop.store, put("config", r#"{"ttl":60}"#)).await;
    finish(child, "y\n").await.says(1, &["changed by somebody else"]);
    assert_eq!(shop.value("config").await.as_deref(), Some(r#"{"ttl":60}"#));
}

#[tokio::test]
async fn an_editor_edits_the_document() {
    let shop = Shop::open(NOBODY).await;
    let edit = async |editor: &str| {
        let child = shop.command("edit-config").env("EDITOR", editor).spawn().expect("the binary");
        finish(child, "y\n").await
    };
    edit("sed -i 's/ttl: 30/ttl: 15/'").await.says(0, &["+ttl: 15", "Configuration changed"]);
    let expected = r#"{"loop_wait":10,"retry_timeout":10,"ttl":15}"#;
    assert_eq!(shop.value("config").await.as_deref(), Some(expected));
    edit("false").await.says(1, &["false failed"]);
    edit("no-such-editor").await.says(1, &["no editor is there"]);
    edit("sed -i 's/ttl: 15/ttl: [/'").await.says(1, &["is no YAML"]);
    assert_eq!(shop.value("config").await.as_deref(), Some(expected));
}

#[tokio::test]
async fn a_refreshed_list_ends_with_ctrl_c() {
    let shop = Shop::open(NOBODY).await;
    let mut child = shop.command("list -w 0.1 -t").spawn().expect("the binary");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut tables = 0;
    while tables < 2 {
        let line = bounded(lines.next_line()).await.expect("a line").expect("another line");
        tables += usize::from(line.starts_with("+ Cluster: demo"));
    }
    interrupt(&child);
    assert_eq!(bounded(child.wait()).await.expect("an end").code(), Some(0));
}

#[tokio::test]
async fn ctrl_c_at_a_question_aborts() {
    let shop = Shop::open(NOBODY).await;
    let mut child = shop.command("switchover").spawn().expect("the binary");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("Primary [pg-a]:") {
        assert_ne!(bounded(out.read_until(b':', &mut shown)).await.expect("more"), 0);
    }
    interrupt(&child);
    assert_eq!(bounded(child.wait()).await.expect("an end").code(), Some(1));
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id().expect("it runs")).expect("a pid");
    let signal = nix::sys::signal::Signal::SIGINT;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("a signal");
}

#[tokio::test]
async fn an_unreachable_etcd_is_tried_again_and_wrong_credentials_are_not() {
    let mut shop = Shop::open(NOBODY).await;
    let mut admin = raw_client(&shop.etcd).await;
    admin.user_add("root", "root", None).await.expect("a user");
    admin.user_grant_role("root", "root").await.expect("a grant");
    admin.auth_enable().await.expect("authentication");
    let mut wrong = shop.command("list");
    wrong.env("PATRONI_ETCD3_USERNAME", "root").env("PATRONI_ETCD3_PASSWORD", "guessed");
    finish(wrong.spawn().expect("the binary"), "").await.says(1, &["refuses the credentials"]);
    let mut right = shop.command("list");
    right.env("PATRONI_ETCD3_USERNAME", "root").env("PATRONI_ETCD3_PASSWORD", "root");
    finish(right.spawn().expect("the binary"), "").await.says(0, &["| pg-a "]);

    shop.etcd.kill(0);
    let mut child = shop.command("list").spawn().expect("the binary");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let line = bounded(lines.next_line()).await.expect("a line").expect("a warning");
    assert!(line.starts_with("Warning: etcd at http://") && line.contains("next try in"), "{line}");
    assert_eq!(child.try_wait().expect("it can be asked"), None, "it goes on trying");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_an_error() {
    let shop = Shop::empty();
    let run = async |arguments: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        command.args(arguments.split_whitespace()).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("the binary"), "").await
    };
    run("ctl -c /nowhere.yml list").await.says(1, &["/nowhere.yml does not exist"]);
    run("ctl list").await.says(1, &["-c NODE.yml"]);
    run("ctl -d consul://a list x").await.says(1, &["consul is not supported"]);
    let broken = shop.dir.path().join("broken.yml");
    std::fs::write(&broken, "scope: [\n").expect("a file");
    run(&format!("ctl -c {} list", broken.display())).await.says(1, &["broken.yml:"]);
    let host = shop.etcd.endpoint(0).replace("http://", "");
    run(&format!("ctl -d {host} list x")).await.says(0, &["+ Cluster: x (uninitialized) "]);
    run(&format!("ctl -d {host} list")).await.says(0, &["no cluster is named"]);
    run(&format!("ctl -d {host} show-config")).await.says(1, &["name a cluster"]);
}
