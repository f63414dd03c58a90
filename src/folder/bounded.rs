//! Reading what somebody else may have written: never more than it can be.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};

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
