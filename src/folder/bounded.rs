//! Reading what somebody else may have written: never more than it can be.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens what has to be an ordinary file, or a link to one: nobody waits at a pipe that somebody put
/// in its place, and no device is read without an end.
///
/// # Errors
/// When it is not there, may not be read, or is something else.
pub fn ordinary(path: &Path) -> Result<File> {
    open(path, OFlags::NONBLOCK)
}

/// The same, but of no link: it would lead out of the folder that somebody else made.
///
/// # Errors
/// As above, and when it is a link.
pub fn ordinary_here(path: &Path) -> Result<File> {
    open(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn open(path: &Path, flags: OFlags) -> Result<File> {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let no_file = || Error::new(ErrorKind::InvalidInput, "it is no ordinary file");
    let file = opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        // What the system says of a link that is not followed, and of a socket.
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => no_file(),
        _ => error,
    })?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(no_file())
}

/// All of a file, which is refused when it is longer than so many bytes.
pub fn bounded(file: &File, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= most) {
        return Ok(bytes);
    }
    let what = format!("it is longer than {most} bytes, which nothing of its kind is");
    Err(Error::new(ErrorKind::FileTooLarge, what))
}

/// The same of a file that is text.
pub fn bounded_text(file: &File, most: u64) -> Result<String> {
    String::from_utf8(bounded(file, most)?)
        // Without the bytes: they may be a secret.
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Seek as _, Write as _};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_an_ordinary_file_is_read_and_nothing_is_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::write(at("file"), "a").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        let piped = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(piped.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(bounded(&ordinary(&at(name)).unwrap(), 9).unwrap(), b"a");
        }
        for name in ["zero", "pipe", "socket", "."] {
            let error = ordinary(&at(name)).unwrap_err();
            assert_eq!(error.to_string(), "it is no ordinary file", "{name}");
        }
        assert!(ordinary_here(&at("file")).is_ok());
        for name in ["link", "zero", "pipe"] {
            let error = ordinary_here(&at(name)).unwrap_err();
            assert_eq!(error.to_string(), "it is no ordinary file", "{name}");
        }
        let none = ordinary(&at("none")).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_and_not_cut() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345").unwrap();
        let mut read = |most| {
            file.rewind().unwrap();
            bounded_text(&file, most)
        };
        assert_eq!(read(5).unwrap(), "12345");
        assert_eq!(read(4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        file.write_all(b"\xff").unwrap();
        file.rewind().unwrap();
        let error = bounded_text(&file, 10).unwrap_err();
        assert_eq!(error.to_string(), "it is no text");
    }
}
