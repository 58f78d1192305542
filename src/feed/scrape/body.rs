//! The body of an answer as it comes, unpacked, and never larger than its bound.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use hyper::header::{CONTENT_ENCODING, HeaderMap};

use crate::load::error::ScrapeError;

/// Takes an answer piece by piece.
pub(super) enum Body {
    Plain(Bounded),
    Gzip {
        decoder: Box<MultiGzDecoder<Bounded>>,
        /// Octets that came, for nothing may come of them for ever.
        packed: usize,
    },
}

impl Body {
    /// A body in the coding that its headers name, of at most `limit` octets; about `expected` of them will come.
    pub(super) fn new(headers: &HeaderMap, limit: usize, expected: usize) -> Result<Self, ScrapeError> {
        let bounded = Bounded { octets: Vec::with_capacity(expected.min(limit)), limit };
        let Some(coding) = headers.get(CONTENT_ENCODING) else { return Ok(Self::Plain(bounded)) };
        let coding = String::from_utf8_lossy(coding.as_bytes()).trim().to_ascii_lowercase();
        let is_alone = headers.get_all(CONTENT_ENCODING).iter().nth(1).is_none();
        match coding.as_str() {
            "" | "identity" if is_alone => Ok(Self::Plain(bounded)),
            // RFC 9110 §8.4.1.3: "x-gzip" is to be taken for "gzip".
            "gzip" | "x-gzip" if is_alone => {
                Ok(Self::Gzip { decoder: Box::new(MultiGzDecoder::new(bounded)), packed: 0 })
            }
            _ => Err(ScrapeError::Encoding(format!("content coding `{coding}` was not asked for"))),
        }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), ScrapeError> {
        match self {
            Self::Plain(bounded) => match bounded.write_all(piece) {
                Ok(()) => Ok(()),
                Err(_) => Err(ScrapeError::TooLarge(bounded.limit)),
            },
            Self::Gzip { decoder, packed } => {
                *packed += piece.len();
                let limit = decoder.get_ref().limit;
                if *packed > limit {
                    return Err(ScrapeError::TooLarge(limit));
                }
                decoder.write_all(piece).map_err(|error| broken(&error, limit))
            }
        }
    }

    /// All of it, once nothing more comes.
    pub(super) fn finish(self) -> Result<Vec<u8>, ScrapeError> {
        match self {
            Self::Plain(bounded) => Ok(bounded.octets),
            Self::Gzip { decoder, .. } => {
                let limit = decoder.get_ref().limit;
                // It checks length and checksum (RFC 1952 §2.3.1).
                decoder.finish().map(|bounded| bounded.octets).map_err(|error| broken(&error, limit))
            }
        }
    }
}

fn broken(error: &io::Error, limit: usize) -> ScrapeError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => ScrapeError::TooLarge(limit),
        io::ErrorKind::UnexpectedEof => ScrapeError::Truncated,
        _ => ScrapeError::Encoding("its gzip is damaged".to_owned()),
    }
}

/// Octets up to a limit.
pub(super) struct Bounded {
    octets: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let needed = self.octets.len() + octets.len();
        if needed > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if needed > self.octets.capacity() {
            // By itself it would double beyond the limit too; and the last step is a long one, for both are held while
            // the old is copied.
            let doubled = 2 * self.octets.capacity();
            let capacity = if doubled > self.limit / 2 { self.limit } else { doubled.max(needed) };
            self.octets.reserve_exact(capacity - self.octets.len());
        }
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
