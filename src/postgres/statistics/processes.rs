//! The processor time of the server's processes, from `/proc`.

use std::sync::OnceLock;
use std::time::Duration;

/// What the server's processes have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessTimes {
    /// How many there are.
    pub processes: u64,
    /// Time in user mode, of those that have ended included.
    pub user: Duration,
    /// Time in the kernel, the same.
    pub system: Duration,
}

impl ProcessTimes {
    /// Those of a postmaster and its children. What has ended counts as its parent's.
    pub fn below(postmaster: i32) -> Self {
        let mut times = Self::default();
        for pid in crate::fence::family_of(postmaster) {
            let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
            let Some([user, system, ended_user, ended_system]) = ticks(&stat) else { continue };
            times.processes += 1;
            times.user += span(user + ended_user);
            times.system += span(system + ended_system);
        }
        times
    }
}

fn span(ticks: u64) -> Duration {
    static A_SECOND: OnceLock<u64> = OnceLock::new();
    let a_second = *A_SECOND.get_or_init(|| {
        let told = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        told.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
    });
    Duration::from_millis(ticks * 1000 / a_second)
}

/// `utime`, `stime`, `cutime`, `cstime`: the fields 14 to 17, behind a name that may hold anything.
fn ticks(stat: &[u8]) -> Option<[u64; 4]> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_of_the_manual_page() {
        let mut stat = b"7 (a) b (c) S".to_vec();
        for field in 4..=22 {
            stat.extend_from_slice(format!(" {field}").as_bytes());
        }
        assert_eq!(ticks(&stat), Some([14, 15, 16, 17]));
        assert_eq!(ticks(b"7 (a"), None);
    }

    #[test]
    fn work_is_counted() {
        let own = std::process::id() as i32;
        let before = ProcessTimes::below(own);
        assert!(before.processes >= 1);
        let mut sum = 0_u64;
        while ProcessTimes::below(own).user == before.user {
            sum = (0..100_000).fold(sum, |sum, n: u64| std::hint::black_box(sum ^ n));
        }
    }
}
