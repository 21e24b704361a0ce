//! A network of its own for a cluster: one namespace for each node, one for the switch between them, and a
//! line from the switch to the tests. Lines can be cut, also for one direction. Needs root.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use rand::Rng;

use super::machine::assert_namespaces;

/// Names of namespaces begin so, then comes the number of the process that made them.
const PREFIX: &str = "pgbaton";

/// The network. Dropping it takes it down.
#[derive(Debug)]
pub struct Network {
    /// The third part of every address (198.18.x.y is set aside for benchmarks).
    subnet: u8,
    nodes: usize,
}

impl Network {
    /// Makes one with places for so many nodes.
    pub fn make(nodes: usize) -> Network {
        assert_namespaces();
        remove_leftovers();
        let mut network = Network { subnet: free_subnet(), nodes: 0 };
        run(&["netns", "add", &network.switch()]);
        network.connect_the_tests();
        for index in 0..nodes {
            network.nodes += 1;
            network.connect(index);
        }
        network
    }

    fn connect_the_tests(&self) {
        let (switch, line) = (self.switch(), self.line());
        run(&["-n", &switch, "link", "add", "switch", "type", "bridge", "forward_delay", "0"]);
        run(&["-n", &switch, "link", "set", "switch", "up"]);
        run(&["link", "add", &line, "type", "veth", "peer", "name", "tests", "netns", &switch]);
        run(&["-n", &switch, "link", "set", "tests", "master", "switch", "up"]);
        run(&["addr", "add", &format!("{}/24", self.address_of_tests()), "dev", &line]);
        run(&["link", "set", &line, "up"]);
    }

    fn connect(&self, index: usize) {
        let (switch, place, port) = (self.switch(), self.place(index), port(index));
        run(&["netns", "add", &place]);
        run(&[
            "-n", &place, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns",
            &switch,
        ]);
        run(&["-n", &switch, "link", "set", &port, "master", "switch", "up"]);
        let address = format!("{}/24", self.address(index));
        run(&["-n", &place, "addr", "add", &address, "dev", "eth0"]);
        run(&["-n", &place, "link", "set", "eth0", "up"]);
        run(&["-n", &place, "link", "set", "lo", "up"]);
    }

    fn switch(&self) -> String {
        format!("{PREFIX}-{}-{}-switch", std::process::id(), self.subnet)
    }

    fn line(&self) -> String {
        format!("pgbaton{}", self.subnet)
    }

    fn place(&self, index: usize) -> String {
        format!("{PREFIX}-{}-{}-{index}", std::process::id(), self.subnet)
    }

    /// A node's address.
    pub fn address(&self, index: usize) -> IpAddr {
        let host = u8::try_from(index + 1).expect("few nodes");
        Ipv4Addr::new(198, 18, self.subnet, host).into()
    }

    /// The address of what runs beside the tests, such as etcd.
    pub fn address_of_tests(&self) -> IpAddr {
        Ipv4Addr::new(198, 18, self.subnet, 254).into()
    }

    /// A node's namespace, to start processes in.
    pub fn namespace(&self, index: usize) -> File {
        let path = PathBuf::from("/run/netns").join(self.place(index));
        File::open(path).expect("our own namespace")
    }

    /// Pulls a node's plug: no packet of it or to it arrives.
    pub fn unplug(&self, index: usize) {
        run(&["-n", &self.switch(), "link", "set", &port(index), "down"]);
    }

    /// Puts it in again.
    pub fn plug_in(&self, index: usize) {
        run(&["-n", &self.switch(), "link", "set", &port(index), "up"]);
    }

    /// From now on nothing that `from` sends arrives at the node `to`; the other direction stays.
    pub fn cut(&self, from: IpAddr, to: usize) {
        self.rule("-A", from, to);
    }

    /// Ends the cut.
    pub fn mend(&self, from: IpAddr, to: usize) {
        self.rule("-D", from, to);
    }

    /// The agent's requests arrive at etcd, but not its answers: new connections do not come about
    /// either. The tests' own clients, who share etcd's address, are not hindered.
    pub fn cut_replies_of_etcd(&self, to: usize) {
        self.drop_tcp_to_ephemeral_ports("-A", to);
    }

    /// Ends it.
    pub fn mend_replies_of_etcd(&self, to: usize) {
        self.drop_tcp_to_ephemeral_ports("-D", to);
    }

    /// What comes from the tests' address to a port that the node's clients have: etcd's answers.
    fn drop_tcp_to_ephemeral_ports(&self, action: &str, to: usize) {
        let from = self.address_of_tests().to_string();
        let rule = ["INPUT", "-s", &from, "-p", "tcp", "--dport", "32768:65535", "-j", "DROP"];
        self.iptables(action, &rule, to);
    }

    /// From now on nothing that the other nodes send, nor any answer of etcd, arrives at this one.
    pub fn deafen(&self, node: usize) {
        self.hear(node, "-A");
        self.drop_tcp_to_ephemeral_ports("-A", node);
    }

    /// Ends it.
    pub fn undeafen(&self, node: usize) {
        self.hear(node, "-D");
        self.drop_tcp_to_ephemeral_ports("-D", node);
    }

    /// From now on nothing that this node sends arrives at the other nodes, or at etcd on these ports. The
    /// tests' own clients are answered.
    pub fn mute(&self, node: usize, etcd: &[u16]) {
        self.speak(node, etcd, "-A");
    }

    /// Ends it.
    pub fn unmute(&self, node: usize, etcd: &[u16]) {
        self.speak(node, etcd, "-D");
    }

    /// The other nodes are cut off from this one, in both directions.
    pub fn part_from_peers(&self, node: usize) {
        self.hear(node, "-A");
        self.speak(node, &[], "-A");
    }

    /// Ends it.
    pub fn join_peers(&self, node: usize) {
        self.hear(node, "-D");
        self.speak(node, &[], "-D");
    }

    fn others(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.nodes).filter(move |other| *other != node)
    }

    fn hear(&self, node: usize, action: &str) {
        for other in self.others(node) {
            self.rule(action, self.address(other), node);
        }
    }

    /// Neither the agent's requests nor the answers arrive.
    pub fn part_from_etcd(&self, node: usize, etcd: &[u16]) {
        self.drop_tcp_to_ephemeral_ports("-A", node);
        self.ask_etcd(node, etcd, "-A");
    }

    /// Ends it.
    pub fn join_etcd(&self, node: usize, etcd: &[u16]) {
        self.drop_tcp_to_ephemeral_ports("-D", node);
        self.ask_etcd(node, etcd, "-D");
    }

    fn speak(&self, node: usize, etcd: &[u16], action: &str) {
        for other in self.others(node) {
            self.rule(action, self.address(node), other);
        }
        self.ask_etcd(node, etcd, action);
    }

    fn ask_etcd(&self, node: usize, etcd: &[u16], action: &str) {
        let to = self.address_of_tests().to_string();
        for port in etcd {
            let port = port.to_string();
            let rule = ["OUTPUT", "-d", &to, "-p", "tcp", "--dport", &port, "-j", "DROP"];
            self.iptables(action, &rule, node);
        }
    }

    fn rule(&self, action: &str, from: IpAddr, to: usize) {
        self.iptables(action, &["INPUT", "-s", &from.to_string(), "-j", "DROP"], to);
    }

    fn iptables(&self, action: &str, rule: &[&str], place: usize) {
        let place = self.place(place);
        let mut command = vec!["netns", "exec", &place, "iptables", "-w", action];
        command.extend(rule);
        run(&command);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..self.nodes {
            let _ = ip(&["netns", "del", &self.place(index)]);
        }
        let _ = ip(&["link", "del", &self.line()]);
        let _ = ip(&["netns", "del", &self.switch()]);
    }
}

/// A number that no line of a running network has.
fn free_subnet() -> u8 {
    let is_free = |subnet: &u8| !PathBuf::from(format!("/sys/class/net/pgbaton{subnet}")).exists();
    let pick = |_| rand::rng().random_range(1..255);
    (0..100).map(pick).find(is_free).expect("few networks run at one time")
}

/// The switch's side of a node's line.
fn port(index: usize) -> String {
    format!("port{index}")
}

/// Namespaces of test processes that were killed before they could clean up.
fn remove_leftovers() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let mut parts = name.split('-');
        let (prefix, pid) = (parts.next(), parts.next());
        let is_ours = prefix == Some(PREFIX);
        let lives = pid.is_some_and(|pid| PathBuf::from("/proc").join(pid).exists());
        if is_ours && !lives {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

#[track_caller]
fn run(arguments: &[&str]) {
    if let Err(said) = ip(arguments) {
        panic!("`ip {}` failed: {said}", arguments.join(" "));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
