//! The device itself, as Linux has it: opened, told its timeout, kept quiet, and disarmed by a letter
//! before it is closed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use crate::values::{Watchdog, WatchdogDriver};

/// `WDIOC_KEEPALIVE`: `_IOR('W', 5, int)`.
const KEEP_ALIVE: libc::Ioctl = nix::request_code_read!(b'W', 5, size_of::<libc::c_int>()) as _;
/// `WDIOC_SETTIMEOUT`: `_IOWR('W', 6, int)`; the driver answers with what it made of it.
const SET_TIMEOUT: libc::Ioctl =
    nix::request_code_readwrite!(b'W', 6, size_of::<libc::c_int>()) as _;
/// A device that is closed after this letter does not restart the machine.
const MAGIC_CLOSE: &[u8] = b"V";

/// A device that runs.
pub trait Device: Send + 'static {
    /// Sets the timeout; returns the one that is in force then.
    fn set_timeout(&mut self, seconds: u16) -> io::Result<i64>;

    /// Shows a sign of life.
    fn keep_alive(&mut self) -> io::Result<()>;

    /// Ends it without a restart of the machine.
    fn disarm(&mut self) -> io::Result<()>;
}

/// Why this device cannot be used, as far as that can be told without opening it: opening arms it.
pub fn trouble(watchdog: &Watchdog) -> Option<String> {
    let path = watchdog.device.display();
    let found = match std::fs::metadata(&watchdog.device) {
        Ok(found) => found,
        Err(error) => return Some(format!("{path}: {error}")),
    };
    if watchdog.driver == WatchdogDriver::Linux && !found.file_type().is_char_device() {
        return Some(format!("{path} is no device"));
    }
    let may = nix::unistd::access(&watchdog.device, nix::unistd::AccessFlags::W_OK);
    may.err().map(|error| format!("{path} cannot be written by this user: {}", error.desc()))
}

/// Opens it, which arms it, and sets its timeout.
///
/// # Errors
/// What does not work, and nothing is armed then.
pub fn open(watchdog: &Watchdog) -> Result<Box<dyn Device>, String> {
    if let Some(why) = trouble(watchdog) {
        return Err(why);
    }
    let path = watchdog.device.display();
    let mut options = OpenOptions::new();
    let opened = options.write(true).custom_flags(libc::O_NONBLOCK).open(&watchdog.device);
    let file = opened.map_err(|error| format!("{path} cannot be opened: {error}"))?;
    let mut device: Box<dyn Device> = match watchdog.driver {
        WatchdogDriver::Linux => Box::new(LinuxDevice(file)),
        WatchdogDriver::Testing => Box::new(TestingDevice(file)),
    };
    let refused = match device.set_timeout(watchdog.seconds) {
        Ok(seconds) if (1..=i64::from(watchdog.seconds)).contains(&seconds) => return Ok(device),
        Ok(seconds) => format!(
            "{path} makes {seconds} s of a timeout of {} s: raise ttl, or watchdog.safety_margin",
            watchdog.seconds
        ),
        Err(error) => format!("{path} does not take a timeout: {error}"),
    };
    // Whatever it is: it was opened, and must not restart the machine for that.
    let _ = device.disarm();
    Err(refused)
}

struct LinuxDevice(File);

impl Device for LinuxDevice {
    fn set_timeout(&mut self, seconds: u16) -> io::Result<i64> {
        let mut seconds = libc::c_int::from(seconds);
        // SAFETY: a descriptor of our own, and room for the number that comes back.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), SET_TIMEOUT, &raw mut seconds) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(seconds.into()) }
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        let mut nothing: libc::c_int = 0;
        // SAFETY: as above.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), KEEP_ALIVE, &raw mut nothing) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn disarm(&mut self) -> io::Result<()> {
        self.0.write_all(MAGIC_CLOSE)
    }
}

/// Says in words what would be done.
struct TestingDevice(File);

impl Device for TestingDevice {
    fn set_timeout(&mut self, seconds: u16) -> io::Result<i64> {
        writeln!(self.0, "timeout {seconds}")?;
        Ok(seconds.into())
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        self.0.write_all(b"alive\n")
    }

    fn disarm(&mut self) -> io::Result<()> {
        self.0.write_all(MAGIC_CLOSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(device: &str, driver: WatchdogDriver) -> Watchdog {
        Watchdog { device: device.into(), driver, seconds: 10, is_required: true }
    }

    #[test]
    fn the_numbers_are_those_of_the_kernel_s_header() {
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!(KEEP_ALIVE as u32, 0x8004_5705);
            assert_eq!(SET_TIMEOUT as u32, 0xc004_5706);
        }
    }

    #[test]
    fn what_is_no_watchdog_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = |path: &str| open(&at(path, WatchdogDriver::Linux)).err().unwrap();
        assert!(refused(&file.display().to_string()).ends_with("is no device"));
        assert!(refused("/no/such/device").contains("No such file"));
        let of_a_stranger = refused("/dev/null");
        assert!(
            of_a_stranger.starts_with("/dev/null does not take a timeout: "),
            "{of_a_stranger}"
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "", "it was not opened");
    }

    #[test]
    fn the_testing_device_is_told_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device");
        std::fs::write(&file, "").unwrap();
        let mut device = open(&at(&file.display().to_string(), WatchdogDriver::Testing)).unwrap();
        device.keep_alive().unwrap();
        device.disarm().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "timeout 10\nalive\nV");
    }
}
