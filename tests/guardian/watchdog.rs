//! The watchdog device below the guardian, with one that says in words what it is told.

use std::io::BufReader;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::fence::{BoottimeClock, LogReader, Watched, pid_behind};
use pgbaton::values::{Clock, Strength, Watchdog, WatchdogDriver};

use super::watchdog_device::Device;
use super::{BOUND, STUBBORN, Site, command_line, has_ended, strengths, wait_until, working_in};

fn watchdog(device: &Device, seconds: u16) -> Option<Watchdog> {
    let (device, driver) = (device.path.clone(), WatchdogDriver::Testing);
    Some(Watchdog { device, driver, seconds, is_required: true })
}

#[test]
fn a_watchdog_is_kept_quiet_while_the_deadline_moves_and_disarmed_when_nothing_is_left() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let mut device = Device::new(site.folder.path());
        site.guardian.want_watchdog(watchdog(&device, 2));
        assert_eq!(site.guardian.watchdog_trouble(), None);
        site.guardian.arm_watchdog().unwrap();
        assert!(device.said().starts_with("timeout 2\n"), "{:?}", device.said());
        site.arm(Duration::from_secs(60));
        let server = site.run(STUBBORN);
        assert_eq!(site.said(), "up");
        wait_until("signs of life", || {
            site.arm(Duration::from_secs(5));
            device.signs() > 5
        });
        assert_eq!(site.guardian.watched(), Watched::Armed);
        // The agent takes the deadline away before the server is gone.
        site.guardian.disarm();
        let before = device.signs();
        wait_until("it goes on while a process is left", || device.signs() > before);
        assert!(!device.is_disarmed(), "{strength}: {:?}", device.said());
        let leader = pid_behind(server.as_fd()).unwrap();
        kill(Pid::from_raw(leader), Signal::SIGKILL).unwrap();
        wait_until("its end", || device.is_disarmed());
        let is_server = |pid: &i32| !command_line(*pid).starts_with("pgbaton guardian");
        let left: Vec<_> = working_in(site.folder.path()).into_iter().filter(is_server).collect();
        let living: Vec<_> = left.iter().filter(|pid| !command_line(**pid).is_empty()).collect();
        assert!(living.is_empty(), "{strength}: disarmed while {living:?} were left");
        wait_until("it is told", || site.guardian.watched() == Watched::Not);
    }
}

#[test]
fn a_stuck_agent_gets_no_sign_of_life_shown_for_it() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let mut device = Device::new(site.folder.path());
        site.guardian.want_watchdog(watchdog(&device, 1));
        site.guardian.arm_watchdog().unwrap();
        let deadline = site.arm(Duration::from_millis(2500));
        let server = site.run(STUBBORN);
        assert_eq!(site.said(), "up");
        // A machine may stand still between two looks: the sign came after the one before.
        let mut looked_at = BoottimeClock.now();
        let mut last_sign = looked_at;
        let mut signs = 0;
        wait_until("the server's end", || {
            let (now, seen) = (BoottimeClock.now(), device.signs());
            if seen != signs {
                (signs, last_sign) = (seen, looked_at);
            }
            looked_at = now;
            has_ended(&server)
        });
        assert!(signs > 0, "{strength}");
        // A second after its last sign the device would have acted: about when the guardian has.
        let acts_at = last_sign + Duration::from_secs(1);
        let allowed = deadline.moment() + Duration::from_millis(500);
        assert!(acts_at < allowed, "{strength}: it would act at {acts_at}, after {deadline:?}");
        wait_until("its end", || device.is_disarmed());
        let at_the_end = device.signs();
        assert_eq!(at_the_end, signs, "{strength}: a sign was shown after the deadline");
    }
}

#[test]
fn a_guardian_that_dies_leaves_the_watchdog_armed_and_the_next_one_goes_on() {
    for strength in strengths() {
        let mut site = Site::new(strength);
        let mut device = Device::new(site.folder.path());
        site.guardian.want_watchdog(watchdog(&device, 2));
        site.guardian.arm_watchdog().unwrap();
        site.arm(Duration::from_secs(60));
        site.run("echo up >&2; sleep 600");
        assert_eq!(site.said(), "up");
        kill(site.process(), Signal::SIGKILL).unwrap();
        wait_until("it is armed again", || device.said().matches("timeout 2").count() == 2);
        assert!(!device.said().contains('V'), "{strength}: {:?}", device.said());
        site.log =
            BufReader::new(LogReader(site.logs.recv_timeout(BOUND).expect("another guardian")));
        wait_until("it is there", || site.guardian.is_alive());
        // The server is gone with most of them; where it is not, it is killed.
        site.arm(Duration::from_millis(1));
        wait_until("its end", || device.is_disarmed());
    }
}

#[test]
fn what_is_no_watchdog_is_refused_and_says_why() {
    let site = Site::new(Strength::Subreaper);
    let file = site.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, why) in [
        (file, "is no device"),
        ("/no/such/device".into(), "No such file"),
        // A device that takes no such orders: what opening and asking it come to.
        ("/dev/null".into(), "does not take a timeout"),
    ] {
        let driver = WatchdogDriver::Linux;
        let watchdog = Watchdog { device: path, driver, seconds: 10, is_required: true };
        site.guardian.want_watchdog(Some(watchdog));
        let error = site.guardian.arm_watchdog().unwrap_err();
        assert!(error.contains(why), "{error}");
        assert!(site.guardian.watchdog_trouble().is_some_and(|told| told.contains(why)));
        assert_eq!(site.guardian.watched(), Watched::Not);
    }
    site.guardian.want_watchdog(None);
    assert_eq!(site.guardian.arm_watchdog(), Ok(()));
    assert_eq!(site.guardian.watchdog_trouble(), None);
}

#[test]
fn a_guardian_that_leaves_disarms_the_watchdog() {
    let site = Site::new(Strength::Subreaper);
    let mut device = Device::new(site.folder.path());
    site.guardian.want_watchdog(watchdog(&device, 20));
    site.guardian.arm_watchdog().unwrap();
    site.guardian.leave();
    wait_until("its end", || device.is_disarmed());
}
