//! Real etcd for a test: its own addresses and directory, gone when the value is dropped or the test
//! dies. A machine without etcd fails the test.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::wait::wait_for;

const START_BOUND: Duration = Duration::from_secs(30);

/// How the cluster is to be, besides its size.
#[derive(Clone, Default)]
pub struct EtcdSettings {
    /// Heartbeat and election timeout in milliseconds; etcd's defaults (100, 1000) where absent.
    pub timing_millis: Option<(u32, u32)>,
    /// The size at which etcd takes no more.
    pub quota_bytes: Option<u64>,
    /// Clients must speak TLS and show a certificate of this authority.
    pub tls: bool,
    /// Where it listens; an address of its own when absent.
    pub address: Option<IpAddr>,
    /// Reached, and named by its certificate, as `localhost`.
    pub on_localhost: bool,
}

/// The files of a cluster's TLS, PEM.
pub struct TlsFiles {
    pub authority: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    /// Certificate and key in one file.
    pub client_both: PathBuf,
    /// The certificate of an authority that signed nothing here.
    pub other_authority: PathBuf,
    server_cert: PathBuf,
    server_key: PathBuf,
}

/// A running cluster.
pub struct Etcd {
    members: Vec<Member>,
    settings: EtcdSettings,
    /// The cluster's TLS files, where it has TLS.
    pub tls: Option<TlsFiles>,
    dir: TempDir,
}

struct Member {
    name: String,
    child: Option<Child>,
    client: SocketAddr,
    peer: SocketAddr,
    metrics: SocketAddr,
}

/// A loopback address that no other cluster of any test process uses, so that ports stay ours across
/// a member's restart.
fn own_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), low, count))
}

fn free_ports(address: IpAddr, count: usize) -> Vec<SocketAddr> {
    let listen = |_| TcpListener::bind((address, 0)).expect("a free loopback port");
    let listeners: Vec<TcpListener> = (0..count).map(listen).collect();
    listeners.iter().map(|one| one.local_addr().expect("a bound port")).collect()
}

impl Etcd {
    /// Starts a cluster of so many members, and waits until all are healthy.
    pub fn start(members: usize) -> Etcd {
        Self::start_with(members, EtcdSettings::default())
    }

    /// The same with settings.
    pub fn start_with(members: usize, settings: EtcdSettings) -> Etcd {
        let dir = tempfile::Builder::new().prefix("pgbaton-etcd-").tempdir().expect("a directory");
        let address = match settings.address {
            Some(address) => address,
            None if settings.on_localhost => Ipv4Addr::LOCALHOST.into(),
            None => own_address(),
        };
        let name = if settings.on_localhost { "localhost".to_owned() } else { address.to_string() };
        let tls = settings.tls.then(|| TlsFiles::generate(dir.path(), &name));
        let ports = free_ports(address, members * 3);
        let member = |(index, ports): (usize, &[SocketAddr])| Member {
            name: format!("m{index}"),
            child: None,
            client: ports[0],
            peer: ports[1],
            metrics: ports[2],
        };
        let members = ports.chunks(3).enumerate().map(member).collect::<Vec<_>>();
        let mut etcd = Etcd { members, settings, tls, dir };
        (0..etcd.members.len()).for_each(|index| etcd.spawn(index));
        (0..etcd.members.len()).for_each(|index| etcd.wait_until_healthy(index));
        etcd
    }

    /// The members' URLs.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect()
    }

    /// One member's URL.
    pub fn endpoint(&self, index: usize) -> String {
        let client = self.members[index].client;
        let host = if self.settings.on_localhost {
            "localhost".to_owned()
        } else {
            client.ip().to_string()
        };
        format!("{}://{host}:{}", self.scheme(), client.port())
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The member that leads, once there is one.
    pub fn leader(&self) -> usize {
        let leads = |index: &usize| {
            let answer = ask(self.members[*index].metrics, "/metrics");
            answer.is_ok_and(|text| text.contains("\netcd_server_is_leader 1"))
        };
        wait_for("etcd has a leader", START_BOUND, || (0..self.members.len()).find(leads))
    }

    /// Kills a member, which keeps its data, and waits until it is gone.
    pub fn kill(&mut self, index: usize) {
        let mut child = self.members[index].child.take().expect("a running member");
        child.kill().expect("a member of ours can be killed");
        child.wait().expect("a member of ours can be waited for");
    }

    /// Kills all members.
    pub fn kill_all(&mut self) {
        (0..self.members.len()).for_each(|index| self.kill(index));
    }

    /// Starts a killed member again.
    pub fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.wait_until_healthy(index);
    }

    /// Starts all members again after all were killed.
    pub fn restart_all(&mut self) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.restart_these(&all);
    }

    /// Starts killed members again: none is healthy before most of them are back.
    pub fn restart_these(&mut self, members: &[usize]) {
        members.iter().for_each(|index| self.spawn(*index));
        members.iter().for_each(|index| self.wait_until_healthy(*index));
    }

    /// Where a member keeps its data; for a member that does not run.
    pub fn data_of(&self, index: usize) -> PathBuf {
        assert!(self.members[index].child.is_none(), "the member runs");
        self.dir.path().join(&self.members[index].name)
    }

    /// Stops a member where it stands: its connections stay open, nothing is answered.
    pub fn freeze(&self, index: usize) {
        self.signal(index, Signal::SIGSTOP);
    }

    /// Lets a frozen member go on.
    pub fn thaw(&self, index: usize) {
        self.signal(index, Signal::SIGCONT);
    }

    fn signal(&self, index: usize, signal: Signal) {
        let child = self.members[index].child.as_ref().expect("a running member");
        let pid = i32::try_from(child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a member of ours takes signals");
    }

    fn spawn(&mut self, index: usize) {
        let peer = |one: &Member| format!("{}=http://{}", one.name, one.peer);
        let cluster = self.members.iter().map(peer).collect::<Vec<_>>().join(",");
        let member = &self.members[index];
        let client_url = format!("{}://{}", self.scheme(), member.client);
        let peer_url = format!("http://{}", member.peer);
        let log = File::create(self.log(index)).expect("a log file");
        let mut command = Command::new("etcd");
        command
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(self.dir.path().join(&member.name))
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--listen-metrics-urls", &format!("http://{}", member.metrics)])
            .args(["--initial-cluster", &cluster])
            .args(["--initial-cluster-token", &self.dir.path().display().to_string()]);
        if let Some((heartbeat, election)) = self.settings.timing_millis {
            command.args(["--heartbeat-interval", &heartbeat.to_string()]);
            command.args(["--election-timeout", &election.to_string()]);
        }
        if let Some(quota) = self.settings.quota_bytes {
            command.args(["--quota-backend-bytes", &quota.to_string()]);
        }
        if let Some(tls) = &self.tls {
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(&tls.authority);
            command.arg("--cert-file").arg(&tls.server_cert);
            command.arg("--key-file").arg(&tls.server_key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        die_with_this_thread(&mut command);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("etcd cannot be started ({error}): install it (Debian: etcd-server)")
        });
        self.members[index].child = Some(child);
    }

    fn log(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("{}.log", self.members[index].name))
    }

    fn wait_until_healthy(&mut self, index: usize) {
        let started = Instant::now();
        while !is_healthy(self.members[index].metrics) {
            let child = self.members[index].child.as_mut().expect("a started member");
            let ended = child.try_wait().expect("a member of ours can be asked");
            if ended.is_some() || started.elapsed() > START_BOUND {
                let log = std::fs::read_to_string(self.log(index)).unwrap_or_default();
                panic!("etcd did not become healthy (ended: {ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(mut child) = member.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// A test that is itself killed must not leave servers behind. (The signal follows the thread that
/// started the process: start a cluster in a thread that lives as long as it.)
fn die_with_this_thread(command: &mut Command) {
    let set = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    // SAFETY: between fork and exec, one system call that allocates nothing.
    unsafe { command.pre_exec(set) };
}

/// Asks the member's own health check, which wants a leader.
fn is_healthy(metrics: SocketAddr) -> bool {
    ask(metrics, "/health").is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

fn ask(metrics: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&metrics, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl TlsFiles {
    fn generate(dir: &Path, host: &str) -> TlsFiles {
        use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, KeyPair};
        let key = || KeyPair::generate().expect("a key");
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, key()).expect("a self-signed certificate")
        };
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).expect("a file can be written");
            path
        };
        let (ours, other) = (authority("pgbaton test"), authority("somebody else"));
        let signed = |name: &str, purposes: Vec<ExtendedKeyUsagePurpose>| {
            let key = key();
            let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.extended_key_usages = purposes;
            let certificate = params.signed_by(&key, &ours).expect("a signed certificate");
            (certificate.pem(), key.serialize_pem())
        };
        // etcd's gateway is a client of its own server, with the server's certificate.
        let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let (server_cert, server_key) = signed("server", both);
        let (cert, key) = signed("client", vec![ExtendedKeyUsagePurpose::ClientAuth]);
        TlsFiles {
            authority: write("ca.pem", &ours.pem()),
            other_authority: write("other-ca.pem", &other.pem()),
            server_cert: write("server.pem", &server_cert),
            server_key: write("server.key", &server_key),
            client_both: write("client-both.pem", &format!("{cert}{key}")),
            client_cert: write("client.pem", &cert),
            client_key: write("client.key", &key),
        }
    }
}
