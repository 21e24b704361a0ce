//! A line to a server that takes its time: what is sent arrives later, what comes back does not. For where the
//! kernel has no `netem`.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A listening line. Dropping the value closes it to new connections.
#[derive(Debug)]
pub struct SlowLine {
    /// Where it begins.
    pub entry: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    delay_millis: AtomicU64,
    closed: AtomicBool,
}

impl SlowLine {
    /// A line from a port on `ip` to a server; without delay as yet.
    pub fn open(ip: IpAddr, to: SocketAddr) -> SlowLine {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let entry = listener.local_addr().expect("a bound port");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(to) {
                    join(client, server, &shared);
                }
            }
        });
        SlowLine { entry, state }
    }

    /// What is sent from now on arrives so much later.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a short delay");
        self.state.delay_millis.store(millis, Ordering::Relaxed);
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.entry);
    }
}

fn join(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (back_from, back_to) = (clone(&server), clone(&client));
    std::thread::spawn(move || carry(back_from, back_to, None));
    let state = Arc::clone(state);
    std::thread::spawn(move || carry(client, server, Some(&state)));
}

/// Carries bytes until one side ends; each piece is due when it was read, plus the delay of that moment.
fn carry(mut from: TcpStream, mut to: TcpStream, state: Option<&State>) {
    let (put, take) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = std::thread::spawn(move || {
        for (due, bytes) in take {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        let delay = state.map_or(0, |it| it.delay_millis.load(Ordering::Relaxed));
        let due = Instant::now() + Duration::from_millis(delay);
        if count == 0 || put.send((due, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(put);
    let _ = writer.join();
    let _ = from.shutdown(Shutdown::Both);
}
